import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { manualClock } from "../clock.ts";
import { contentOf } from "./dialogue-player.ts";
import { recordDialogue } from "./dialogue-recorder.ts";
import { startPlainServer } from "./testing/plain-server.ts";

const KEY = "real-key-0123456789";

/** A recorder before a service that answers when it is told to, and a way to ask it. */
async function startRecorder(timeoutMs = 1000) {
  const clock = manualClock();
  const arrived: ((response: ServerResponse) => void)[] = [];
  const endpoint = await startPlainServer((_request, response) => arrived.shift()?.(response));
  const folder = mkdtempSync(join(tmpdir(), "linecheck-recorder-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "d.json");
  const backing = recordDialogue({
    clock,
    endpoint: { url: `${endpoint}/v1`, key: KEY },
    file,
    names: [],
    timeoutMs,
  });
  onTestFinished(() => backing[Symbol.asyncDispose]());
  const url = await startPlainServer(async (request, response) => {
    const body = (await json(request)) as Record<string, unknown>;
    const served = await backing.serve(body, response);
    if (served.kind === "unknown") response.writeHead(502).end(served.why);
  });
  /** Both the answer, and the service's side of the exchange. */
  const ask = async (content: string) => {
    const { promise, resolve } = Promise.withResolvers<ServerResponse>();
    arrived.push(resolve);
    const messages = [{ role: "user", content }];
    const answer = fetch(url, { method: "POST", body: JSON.stringify({ messages }) });
    return { answer, endpoint: await promise };
  };
  return { clock, backing, file, endpoint, ask };
}

const answer = (response: ServerResponse, message: object, status = 200) =>
  response
    .writeHead(status, { "content-type": "application/json" })
    .end(JSON.stringify({ choices: [{ index: 0, message }] }));

test("a time-out ends its own request and no other", async () => {
  const { clock, ask } = await startRecorder();
  const first = await ask("One");
  await clock.advance(600);
  const second = await ask("Two");
  await clock.advance(600);
  const timedOut = await first.answer;
  expect(timedOut.status).toBe(502);
  expect(await timedOut.text()).toContain("no complete answer within 1000 ms");
  answer(second.endpoint, { content: "Two." });
  expect((await second.answer).status).toBe(200);
  const third = await ask("Three");
  answer(third.endpoint, { content: "Three." });
  expect((await third.answer).status).toBe(200);
});

test.each([
  { message: { content: "Yes.", tool_calls: null } },
  { message: null, delta: { content: "Yes.", tool_calls: null } },
])("what a service leaves empty is nothing said: %j", (choice) => {
  const body = { choices: [choice] };
  expect(contentOf({ status: 200, headers: {}, body })).toEqual({ kind: "text", text: "Yes." });
  const none = { status: 200, headers: {}, body: { choices: null } };
  expect(contentOf(none)).toEqual({ kind: "text", text: "" });
});

test("the endpoint's address, its key and its account are not in the file", async () => {
  const { backing, file, endpoint, ask } = await startRecorder();
  const asked = await ask("Hi");
  const account = "org-AbCdEfGhIjKlMnOpQrStUvWx";
  const host = new URL(endpoint).host;
  const content = `Rate limit of ${account} at ${host} (${endpoint}/v1) for ${KEY}`;
  answer(asked.endpoint, { content }, 429);
  expect(await (await asked.answer).text()).toContain(content);
  await backing[Symbol.asyncDispose]();
  const text = readFileSync(file, "utf8");
  expect(text).toContain("Rate limit of ••• at •••");
  for (const secret of [account, host, KEY]) expect(text).not.toContain(secret);
});
