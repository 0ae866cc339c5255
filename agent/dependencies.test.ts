import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, test } from "vitest";
import { readConfig } from "./config.ts";
import { checkReachable, dependenciesOf, oneAtATime } from "./dependencies.ts";

const ENV = {
  ACS_CONNECTION_STRING: "endpoint=https://contoso.communication.azure.com/;accesskey=c2VjcmV0",
  SPEECH_KEY: "speech key",
  SPEECH_REGION: "westeurope",
  AZURE_OPENAI_ENDPOINT: "http://[::1]:8080",
  AZURE_OPENAI_KEY: "model key",
  AZURE_OPENAI_DEPLOYMENT: "gpt",
  AGENT_QUEUE_NUMBER: "+18005550150",
};

test("the dependencies are the three services, at the ports of their URLs", () => {
  expect(dependenciesOf(readConfig(ENV))).toEqual([
    { name: "communication services", host: "contoso.communication.azure.com", port: 443 },
    { name: "speech", host: "westeurope.stt.speech.microsoft.com", port: 443 },
    { name: "model", host: "::1", port: 8080 },
  ]);
});

test("a service that accepts connections is there, one that does not is named", async () => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const dependency = { name: "speech", host: "127.0.0.1", port };
  await checkReachable([dependency]);
  server.close();
  await once(server, "close");
  await expect(checkReachable([dependency])).rejects.toMatchObject({
    code: "AGENT_DEPENDENCY_MISSING",
    message: `speech at 127.0.0.1:${port} does not accept connections`,
  });
});

test("many who ask at once cost one check, and the next one who asks another", async () => {
  const checks: PromiseWithResolvers<void>[] = [];
  const check = oneAtATime(() => {
    checks.push(Promise.withResolvers());
    return checks.at(-1)?.promise ?? Promise.resolve();
  });
  const asked = [check(), check(), check()];
  expect(checks).toHaveLength(1);
  checks[0]?.reject(new Error("speech is away"));
  const outcomes = await Promise.allSettled(asked);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  const again = check();
  checks[1]?.resolve();
  await again;
  expect(checks).toHaveLength(2);
});
