import { CallAutomationClient } from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import { startTestLab } from "./testing/lab.ts";

interface Response {
  readonly status: number;
  readonly headers: { set(name: string, value: string): void };
}

test("a request that was throttled is executed when the SDK repeats it", async () => {
  await using lab = await startTestLab({ policy: { callLimit: 1 } });
  const callbacks = `${lab.application.url}/cb`;
  const first = await lab.ring();
  const second = await lab.ring({ from: "+14255550101" });
  const statuses: number[] = [];
  const makeRoom = {
    name: "make room",
    sendRequest: async (request: never, next: (request: never) => Promise<Response>) => {
      const response = await next(request);
      statuses.push(response.status);
      if (response.status !== 429) return response;
      first.leg.end();
      await lab.application.event("CallDisconnected");
      response.headers.set("retry-after-ms", "1"); // Read before Retry-After, which is a second.
      return response;
    },
  };
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 1 },
    additionalPolicies: [{ position: "perRetry", policy: makeRoom }],
  } as object);
  await client.answerCall(first.context, callbacks);
  await client.answerCall(second.context, callbacks);
  await lab.application.event("CallConnected", 1);
  expect(statuses).toEqual([200, 429, 200]);
});
