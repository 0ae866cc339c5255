import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { AzureOpenAI } from "openai";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { openTrace } from "../trace.ts";
import { readDialogue } from "./dialogue.ts";
import { type Backing, playDialogue } from "./dialogue-player.ts";
import { type ModelEndpoint, recordDialogue } from "./dialogue-recorder.ts";
import { createScript, type Script } from "./script.ts";
import { startOpenAi } from "./server.ts";
import { startPlainServer } from "./testing/plain-server.ts";

const clock = systemClock();
const NAMES = ["Dana Miller", "Sam Ortega"];
const KEY = "real-key-0123456789";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "linecheck-dialogue-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

/** A lab with that model behind its script. */
async function startLab(backing: Backing, write: (script: Script) => void = () => {}) {
  const script = createScript();
  write(script);
  const trace = openTrace({ clock });
  const service = await startOpenAi({
    clock,
    script,
    backing,
    trace: trace.as("openai"),
    keys: ["lab-key"],
    deployments: ["voice"],
  });
  onTestFinished(() => service[Symbol.asyncDispose]());
  const client = new AzureOpenAI({
    endpoint: service.url,
    apiKey: "lab-key",
    apiVersion: "2024-10-21",
    deployment: "voice",
    maxRetries: 0,
  });
  return { service, client, trace };
}

function record(endpoint: ModelEndpoint, file: string) {
  const trace = openTrace({ clock });
  const backing = recordDialogue({
    clock,
    trace: trace.as("openai"),
    endpoint,
    file,
    names: NAMES,
  });
  onTestFinished(() => backing[Symbol.asyncDispose]());
  return { backing, trace };
}

const play = (file: string, timeScale = 0) =>
  playDialogue({ clock, dialogue: readDialogue(file), names: NAMES, timeScale });

type Message = Parameters<AzureOpenAI["chat"]["completions"]["create"]>[0]["messages"][number];

const TOOLS = [
  { type: "function" as const, function: { name: "look_up_customer", parameters: {} } },
];

async function stream(client: AzureOpenAI, messages: Message[]) {
  const events = await client.chat.completions.create({
    model: "voice",
    messages,
    tools: TOOLS,
    stream: true,
  });
  const chunks = [];
  for await (const chunk of events) chunks.push(chunk);
  const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
  const calls = chunks.flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? []);
  return { chunks, text, calls };
}

/** A caller asks for the balance; the model looks the account up and says it. */
async function askForBalance(client: AzureOpenAI, who: string, telephone: string) {
  const messages: Message[] = [
    { role: "system", content: `The caller is ${who}, ${telephone}.` },
    { role: "user", content: "What is my balance?" },
  ];
  const first = await stream(client, messages);
  const [call] = first.calls;
  messages.push(
    {
      role: "assistant",
      tool_calls: [
        {
          id: call?.id ?? "",
          type: "function",
          function: { name: call?.function?.name ?? "", arguments: "{}" },
        },
      ],
    },
    { role: "tool", tool_call_id: call?.id ?? "", content: '{"balance":"49.99"}' },
  );
  const second = await stream(client, messages);
  return { tool: call?.function?.name, text: second.text, first, second };
}

/** Another lab's model, in a process of its own. */
async function startOtherLab(): Promise<ModelEndpoint & AsyncDisposable> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "testing/emulator.ts")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [url] = (await once(createInterface(child.stdout), "line")) as [string];
  const exited = once(child, "exit");
  return {
    url: `${url}/openai/deployments/gpt/chat/completions?api-version=2024-10-21`,
    key: KEY,
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await exited;
    },
  };
}

test("a conversation with another process's model is replayed without it", async () => {
  const file = join(folder(), "balance.json");
  let recorded: Awaited<ReturnType<typeof askForBalance>>;
  {
    await using other = await startOtherLab();
    const { backing } = record(other, file);
    const { client } = await startLab(backing);
    recorded = await askForBalance(client, "Dana Miller", "+14255550100");
    await backing[Symbol.asyncDispose]();
  }
  expect(recorded).toMatchObject({
    tool: "look_up_customer",
    text: "Your balance is 49.99 dollars.",
  });
  const { client, service } = await startLab(play(file));
  const again = await askForBalance(client, "Dana Miller", "+14255550100");
  expect(again).toEqual(recorded);
  expect(service.unmatched).toEqual([]);
  const text = readFileSync(file, "utf8");
  for (const secret of ["Dana", "Miller", "4255550100", KEY, "lab-key"]) {
    expect(text).not.toContain(secret);
  }
});

type Answer = (
  response: ServerResponse,
  request: { headers: IncomingMessage["headers"]; url: string; body: Record<string, unknown> },
) => void | Promise<void>;

/** A service that nobody of the lab wrote: it sends bytes. */
async function startPlainService(answer: Answer): Promise<string> {
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const parts: Buffer[] = [];
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
    const body = JSON.parse(Buffer.concat(parts).toString()) as Record<string, unknown>;
    await answer(response, { headers: request.headers, url: request.url ?? "", body });
  };
  return startPlainServer(serve);
}

const FILTER_FRAME =
  'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}\n\n';
const frame = (delta: string, finish = "null") =>
  `data: {"choices":[{"content_filter_results":{},"delta":${delta},"finish_reason":${finish},"index":0,"logprobs":null}],"created":1731000000,"id":"chatcmpl-AbC","model":"gpt-4o-2024-11-20","object":"chat.completion.chunk","system_fingerprint":"fp_d54531d9eb"}\n\n`;

/** As Azure streams it: filter frame, bursts, and cuts where no word ends. */
const azureStream = (texts: readonly string[]): Answer =>
  async function send(response) {
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "apim-request-id": "0a1b",
    });
    response.write(FILTER_FRAME + frame('{"content":"","refusal":null,"role":"assistant"}'));
    for (const text of texts) {
      await clock.sleep(40);
      const bytes = Buffer.from(frame(JSON.stringify({ content: text })));
      response.write(bytes.subarray(0, 25));
      response.write(bytes.subarray(25));
    }
    response.end(`${frame("{}", '"stop"')}data: [DONE]\n\n`);
  };

test("what Azure sends reaches the client unchanged, and the recording hides whose it was", async () => {
  const file = join(folder(), "d.json");
  const seen: unknown[] = [];
  const answer = azureStream(["Dana, I have +1 425", " 555 01", "00 as your number – right?"]);
  const url = await startPlainService((response, request) => {
    seen.push({ key: request.headers["api-key"], url: request.url, model: request.body["model"] });
    return answer(response, request);
  });
  const path = "/openai/deployments/prod/chat/completions?api-version=2024-10-21";
  const { backing } = record({ url: url + path, key: KEY, model: "gpt-4o" }, file);
  const { client } = await startLab(backing);
  const said: Message[] = [{ role: "user", content: "It is Dana, +1 425 555 0100." }];
  const live = await stream(client, said);
  await backing[Symbol.asyncDispose]();
  expect(live.text).toBe("Dana, I have +1 425 555 0100 as your number – right?");
  expect(live.chunks[0]).toHaveProperty("prompt_filter_results");
  expect(seen).toEqual([{ key: KEY, url: path, model: "gpt-4o" }]);
  const [exchange] = readDialogue(file).exchanges;
  expect(exchange?.request.messages).toEqual([
    { content: "It is [name 1], [telephone 1].", role: "user" },
  ]);
  expect(JSON.stringify(exchange?.answer)).toContain('"[name 1], I have [telephone 1]"');
  const times = exchange?.answer.pieces?.map(([atMs]) => atMs) ?? [];
  expect(times[2]).toBeGreaterThanOrEqual(38);
  expect(times).toEqual(times.toSorted((a, b) => a - b));

  const replay = await startLab(play(file));
  expect((await stream(replay.client, said)).text).toBe(live.text);
  const other: Message[] = [{ role: "user", content: "It is Sam, +1 (425) 555-0101." }];
  expect((await stream(replay.client, other)).text).toBe(
    "Sam, I have +1 (425) 555-0101 as your number – right?",
  );
});

test("a replay keeps the recorded times, stretched as asked", async () => {
  const file = join(folder(), "d.json");
  const url = await startPlainService(azureStream(["Yes", "."]));
  const { backing } = record({ url: `${url}/v1`, key: KEY }, file);
  const said: Message[] = [{ role: "user", content: "Well?" }];
  await stream((await startLab(backing)).client, said);
  await backing[Symbol.asyncDispose]();
  const lastMs = readDialogue(file).exchanges[0]?.answer.pieces?.at(-1)?.[0] ?? 0;
  const { client } = await startLab(play(file, 3));
  const startedMs = clock.now();
  await stream(client, said);
  expect(lastMs).toBeGreaterThanOrEqual(78);
  expect(clock.now() - startedMs).toBeGreaterThanOrEqual(lastMs * 3 - 1);
});

async function greet(client: AzureOpenAI) {
  const messages: Message[] = [{ role: "user", content: "Hi" }];
  const answer = await client.chat.completions.create({ model: "m", messages }, { maxRetries: 1 });
  return answer.choices[0]?.message.content;
}

test("a plain endpoint gets the key as a bearer token, and whole answers and refusals come back in turn", async () => {
  const file = join(folder(), "d.json");
  const bearers: unknown[] = [];
  const url = await startPlainService((response, { headers, url: path }) => {
    bearers.push(headers.authorization, path);
    if (bearers.length === 2) {
      response.writeHead(429, { "content-type": "application/json", "retry-after-ms": "10" });
      response.end('{"error":{"code":"429","message":"Call me: +14255550100"}}');
      return;
    }
    response.writeHead(200, { "content-type": "application/json" });
    response.end(
      '{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}]}',
    );
  });
  const { backing } = record({ url: `${url}/v1/`, key: KEY }, file);
  expect(await greet((await startLab(backing)).client)).toBe("Hello.");
  await backing[Symbol.asyncDispose]();
  expect(bearers).toEqual([
    `Bearer ${KEY}`,
    "/v1/chat/completions",
    `Bearer ${KEY}`,
    "/v1/chat/completions",
  ]);
  const { exchanges } = readDialogue(file);
  expect(exchanges.map(({ answer }) => answer.status)).toEqual([429, 200]);
  expect(exchanges[0]?.answer.body).toMatchObject({ error: { message: "Call me: [telephone 1]" } });
  expect(await greet((await startLab(play(file))).client)).toBe("Hello.");
});

test("what was not recorded is an error with the prompt and the nearest that was", async () => {
  const file = join(folder(), "d.json");
  const url = await startPlainService(azureStream(["Yes."]));
  const { backing } = record({ url, key: KEY }, file);
  const system: Message = { role: "system", content: "Be brief." };
  const { client } = await startLab(backing);
  for (const content of ["Is it open today?", "Where are you?"]) {
    await stream(client, [system, { role: "user", content }]);
  }
  await backing[Symbol.asyncDispose]();
  const replay = await startLab(play(file));
  const asked = stream(replay.client, [system, { role: "user", content: "Is it open tomorrow?" }]);
  await expect(asked).rejects.toMatchObject({ status: 404, code: "linecheck_unscripted" });
  expect(replay.service.unmatched).toEqual([
    `user: Is it open tomorrow?
the recorded dialogue does not go so: nearest is request 1, which differs at messages[1].content
  recorded  "Is it open today?"
  asked     "Is it open tomorrow?"`,
  ]);
  const renamed = [{ type: "function" as const, function: { name: "look_up", parameters: {} } }];
  const otherTools = replay.client.chat.completions.create({
    model: "m",
    messages: [system, { role: "user", content: "Where are you?" }],
    tools: renamed,
    stream: true,
  });
  await expect(otherTools).rejects.toThrow("differs at tools[0].function.name");
});

test("the script comes before the dialogue", async () => {
  const file = join(folder(), "d.json");
  const url = await startPlainService(azureStream(["Recorded."]));
  const { backing } = record({ url, key: KEY }, file);
  await stream((await startLab(backing)).client, [{ role: "user", content: "Hi" }]);
  await backing[Symbol.asyncDispose]();
  const { client } = await startLab(play(file), (script) =>
    script.when("hi").says("Scripted.").once(),
  );
  expect((await stream(client, [{ role: "user", content: "Hi" }])).text).toBe("Scripted.");
  expect((await stream(client, [{ role: "user", content: "Hi" }])).text).toBe("Recorded.");
});

test("an answer whose client goes away is recorded to its end", async () => {
  const file = join(folder(), "d.json");
  const url = await startPlainService(azureStream(["One.", " Two.", " Three."]));
  const { backing } = record({ url, key: KEY }, file);
  const { client, service, trace } = await startLab(backing);
  const events = await client.chat.completions.create({
    model: "m",
    messages: [{ role: "user", content: "Count" }],
    stream: true,
  });
  for await (const { choices } of events) if (choices[0]?.delta.content) break;
  await trace.waitFor((event) => event.type === "model" && event.kind === "abort", {
    timeoutMs: 5000,
    what: "abort at the model",
  });
  await backing[Symbol.asyncDispose]();
  expect(service.aborted).toBe(1);
  expect(JSON.stringify(readDialogue(file))).toContain(" Three.");
});

test.each([401, 404])("an endpoint that answers %d is told of, not recorded", async (status) => {
  const file = join(folder(), "d.json");
  const url = await startPlainService((response) => {
    response.writeHead(status, { "content-type": "application/json" }).end('{"error":{}}');
  });
  const { backing, trace } = record({ url, key: KEY }, file);
  const { client } = await startLab(backing);
  await expect(stream(client, [{ role: "user", content: "Hi" }])).rejects.toMatchObject({ status });
  await backing[Symbol.asyncDispose]();
  expect(trace.events).toMatchObject([{ type: "error", code: "MODEL_ENDPOINT_REFUSED" }]);
  expect(() => readDialogue(file)).toThrow("does not exist");
});

test("an endpoint that breaks off does so to the client, and nothing is recorded", async () => {
  const file = join(folder(), "d.json");
  const url = await startPlainService((response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(FILTER_FRAME, () => response.destroy());
  });
  const { backing, trace } = record({ url, key: KEY }, file);
  const { client } = await startLab(backing);
  await expect(stream(client, [{ role: "user", content: "Hi" }])).rejects.toThrow("terminated");
  await backing[Symbol.asyncDispose]();
  expect(trace.events).toMatchObject([{ type: "error", code: "MODEL_ENDPOINT_FAILED" }]);
  expect(() => readDialogue(file)).toThrow("does not exist");
});

test("an endpoint that nobody serves is an error that says so", async () => {
  const { backing } = record({ url: "http://127.0.0.1:9/v1", key: KEY }, join(folder(), "d.json"));
  const { client } = await startLab(backing);
  await expect(stream(client, [{ role: "user", content: "Hi" }])).rejects.toThrow(
    "the model's endpoint gave no answer",
  );
});
