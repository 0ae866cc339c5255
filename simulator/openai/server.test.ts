import OpenAI, { AzureOpenAI } from "openai";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { faultPlan } from "../faults.ts";
import { openTrace } from "../trace.ts";
import { createScript, type Script } from "./script.ts";
import { startOpenAi } from "./server.ts";

const TOOLS = [
  { type: "function" as const, function: { name: "look_up_customer", parameters: {} } },
  { type: "function" as const, function: { name: "escalate_to_human", parameters: {} } },
];

async function startService(write: (script: Script) => void = () => {}) {
  const clock = systemClock();
  const trace = openTrace({ clock });
  const script = createScript();
  const faults = faultPlan();
  write(script);
  const service = await startOpenAi({
    clock,
    trace: trace.as("openai"),
    faults,
    script,
    keys: ["lab-key"],
    deployments: ["voice"],
    firstTokenMs: 1,
    tokenMs: 1,
  });
  onTestFinished(() => service[Symbol.asyncDispose]());
  const client = new AzureOpenAI({
    endpoint: service.url,
    apiKey: "lab-key",
    apiVersion: "2024-10-21",
    deployment: "voice",
    maxRetries: 0,
  });
  return { service, client, trace, faults, script };
}

const ask = (content: string) => ({
  model: "voice",
  messages: [{ role: "user" as const, content }],
});

test("the script's text arrives in a plain answer", async () => {
  const { client } = await startService((script) => script.when(/balance/).says("It is 49.99."));
  const answer = await client.chat.completions.create(ask("What is my balance?"));
  expect(answer.choices[0]?.message.content).toBe("It is 49.99.");
  expect(answer.choices[0]?.finish_reason).toBe("stop");
  expect(answer.usage?.total_tokens).toBe(
    (answer.usage?.prompt_tokens ?? 0) + (answer.usage?.completion_tokens ?? 0),
  );
});

test("a stream starts with Azure's frame without choices and ends with the usage", async () => {
  const { client } = await startService((script) => script.when("hello").says("Good day to you."));
  const stream = await client.chat.completions.create({
    ...ask("Hello"),
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  expect(chunks[0]?.choices).toEqual([]);
  expect(chunks[0]).toHaveProperty("prompt_filter_results");
  expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")).toBe(
    "Good day to you.",
  );
  expect(chunks.at(-1)?.usage?.completion_tokens).toBe(4);
  expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("stop");
});

test("the usage counts what a tool's call is made of, with its details", async () => {
  const { client } = await startService((script) => {
    script.when("balance").calls("look_up_customer", { customer_id: "C-1042" });
    script.otherwise().says("one two three");
  });
  const call = await client.chat.completions.create({ ...ask("balance"), tools: TOOLS });
  const streamed = client.chat.completions.stream({
    ...ask("balance"),
    tools: TOOLS,
    stream_options: { include_usage: true },
  });
  const details = {
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: 0,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
  // The name, and the arguments in pieces of twelve characters.
  const usage = { prompt_tokens: 2, completion_tokens: 3, total_tokens: 5, ...details };
  expect(call.usage).toEqual(usage);
  expect(await streamed.totalUsage()).toMatchObject({ completion_tokens: 3, total_tokens: 5 });
  expect((await streamed.finalChatCompletion()).usage).toEqual(usage);
  const text = await client.chat.completions.create(ask("x"));
  expect(text.usage).toMatchObject({ completion_tokens: 3, ...details });
});

test("tool calls stream in fragments and their result continues the conversation", async () => {
  const { client } = await startService((script) => {
    script.when(/balance/).calls("look_up_customer", { customer_id: "C-1042" });
    script
      .afterTool("look_up_customer")
      .says(({ toolResult }) => `You owe ${(toolResult as { balance: string }).balance}.`);
  });
  const first = await client.chat.completions
    .stream({ ...ask("my balance"), tools: TOOLS })
    .finalChatCompletion();
  const call = first.choices[0]?.message.tool_calls?.[0];
  expect(first.choices[0]?.finish_reason).toBe("tool_calls");
  expect(call).toMatchObject({
    type: "function",
    function: { name: "look_up_customer", arguments: '{"customer_id":"C-1042"}' },
  });
  const second = await client.chat.completions.create({
    model: "voice",
    tools: TOOLS,
    messages: [
      { role: "user", content: "my balance" },
      {
        role: "assistant",
        tool_calls: [call as OpenAI.Chat.ChatCompletionMessageFunctionToolCall],
      },
      { role: "tool", tool_call_id: call?.id ?? "", content: '{"balance":"49.99"}' },
    ],
  });
  expect(second.choices[0]?.message.content).toBe("You owe 49.99.");
});

test("the newest rule wins, answers are given in turn, and a spent rule steps back", async () => {
  const { client, script } = await startService();
  script.otherwise().says("default");
  script.when("hi").says("first").says("second").once();
  const said = [];
  for (const _ of [1, 2, 3]) {
    const answer = await client.chat.completions.create(ask("hi"));
    said.push(answer.choices[0]?.message.content);
  }
  expect(said).toEqual(["first", "second", "default"]);
});

test("a request that nobody scripted is refused and kept with its prompt", async () => {
  const { client, service } = await startService((script) => script.when("yes").says("no"));
  await expect(client.chat.completions.create(ask("What about Tuesday?"))).rejects.toMatchObject({
    status: 404,
    code: "linecheck_unscripted",
  });
  expect(service.unmatched).toEqual(["user: What about Tuesday?"]);
});

test("a scripted tool that the agent did not offer is refused with its name", async () => {
  const { client } = await startService((script) => script.when("x").calls("open_door"));
  await expect(client.chat.completions.create({ ...ask("x"), tools: TOOLS })).rejects.toThrow(
    "open_door",
  );
  await expect(client.chat.completions.create(ask("x"))).rejects.toThrow("offered: none");
});

test.each([
  { apiKey: "wrong", deployment: "voice", status: 401, code: "401" },
  { apiKey: "lab-key", deployment: "other", status: 404, code: "DeploymentNotFound" },
])(
  "$code answers key $apiKey and deployment $deployment",
  async ({ apiKey, deployment, ...expected }) => {
    const { service } = await startService();
    const client = new AzureOpenAI({
      endpoint: service.url,
      apiKey,
      deployment,
      apiVersion: "2024-10-21",
      maxRetries: 0,
    });
    await expect(client.chat.completions.create(ask("x"))).rejects.toMatchObject(expected);
  },
);

test("the plain path takes the key as a bearer token", async () => {
  const { service } = await startService((script) => script.otherwise().says("plain"));
  const client = new OpenAI({
    baseURL: `${service.url}/openai/v1/`,
    apiKey: "lab-key",
    maxRetries: 0,
  });
  const answer = await client.chat.completions.create(ask("x"));
  expect(answer.choices[0]?.message.content).toBe("plain");
});

test.each([
  { path: "openai/v1", model: "other", status: 404, error: { code: "DeploymentNotFound" } },
  { path: "openai/v1", model: undefined, status: 400, error: { param: "model" } },
  { path: "v1", model: undefined, status: 400, error: { param: "model" } },
  { path: "v1", model: "other", status: 200 },
])("$path answers model $model with $status", async ({ path, model, status, error }) => {
  const { service } = await startService((script) => script.otherwise().says("Yes."));
  const response = await fetch(`${service.url}/${path}/chat/completions`, {
    method: "POST",
    headers: { "api-key": "lab-key" },
    body: JSON.stringify({ ...ask("x"), model }),
  });
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject(error === undefined ? {} : { error });
});

test.each([
  { messages: [], param: "messages" },
  { messages: [{ role: "robot", content: "x" }], param: "role" },
  { messages: [{ role: "tool", tool_call_id: "call_1", content: "{}" }], param: "tool" },
  {
    messages: [
      {
        role: "assistant",
        tool_calls: [{ id: "call_1", type: "function", function: { name: "f", arguments: "{}" } }],
      },
      { role: "user", content: "and?" },
    ],
    param: "call_1",
  },
])("an ill-formed conversation is refused and names $param", async ({ messages, param }) => {
  const { service } = await startService((script) => script.otherwise().says("never"));
  const response = await fetch(
    `${service.url}/openai/deployments/voice/chat/completions?api-version=2024-10-21`,
    { method: "POST", headers: { "api-key": "lab-key" }, body: JSON.stringify({ messages }) },
  );
  expect(response.status).toBe(400);
  expect(await response.text()).toContain(param);
});

test("a throttled request is retried after the time the service names", async () => {
  const { service } = await startService((script) =>
    script.when("hi").fails({ status: 429, retryAfterMs: 20 }).says("at last"),
  );
  const client = new AzureOpenAI({
    endpoint: service.url,
    apiKey: "lab-key",
    apiVersion: "2024-10-21",
    deployment: "voice",
  });
  const answer = await client.chat.completions.create(ask("hi"));
  expect(answer.choices[0]?.message.content).toBe("at last");
});

test("the content filter ends an answer without an exception", async () => {
  const { client } = await startService((script) => script.when("x").isFiltered());
  const answer = await client.chat.completions.create(ask("x"));
  expect(answer.choices[0]?.finish_reason).toBe("content_filter");
});

test("a dropped stream breaks off after the words that were sent", async () => {
  const { client } = await startService((script) => script.when("x").drops("one two"));
  const stream = await client.chat.completions.create({ ...ask("x"), stream: true });
  let text = "";
  const reading = (async () => {
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  })();
  await expect(reading).rejects.toThrow("terminated");
  expect(text).toBe("one two");
});

test("generation stops when the client goes away", async () => {
  const { client, service, trace } = await startService((script) =>
    script.when("x").says("word ".repeat(5000)),
  );
  const stream = await client.chat.completions.create({ ...ask("x"), stream: true });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  await trace.waitFor((event) => event.type === "model" && event.kind === "abort", {
    timeoutMs: 5000,
    what: "abort at the model",
  });
  expect(service.aborted).toBe(1);
});

test("a planned fault answers with its status", async () => {
  const { client, faults, trace } = await startService((script) => script.otherwise().says("fine"));
  faults.add({ name: "openai.status", with: { status: 500 }, times: 1 });
  await expect(client.chat.completions.create(ask("x"))).rejects.toMatchObject({ status: 500 });
  await expect(client.chat.completions.create(ask("x"))).resolves.toBeDefined();
  expect(trace.events.filter(({ type }) => type === "fault")).toMatchObject([
    { name: "openai.status", detail: { status: 500 } },
  ]);
});

test("a path that cannot be decoded is an unknown deployment", async () => {
  const { service } = await startService();
  const response = await fetch(
    `${service.url}/openai/deployments/%E0%A4%A/chat/completions?api-version=2024-10-21`,
    { method: "POST", headers: { "api-key": "lab-key" }, body: "{}" },
  );
  expect(response.status).toBe(404);
});
