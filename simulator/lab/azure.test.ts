import { CallAutomationClient } from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import { startLab } from "../lab.ts";

test("a switch of the services can be set for a whole lab", async () => {
  await using lab = await startLab({ switches: { acs: { callLimit: 0 } } });
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const target = { targetParticipant: { phoneNumber: "+18005550150" } };
  const created = client.createCall(
    { ...target, sourceCallIdNumber: { phoneNumber: "+18005551234" } },
    "http://127.0.0.1:1/callbacks",
  );
  await expect(created).rejects.toMatchObject({ statusCode: 429 });
});
