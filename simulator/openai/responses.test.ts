import OpenAI, { AzureOpenAI } from "openai";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { openTrace } from "../trace.ts";
import { createScript, type Script } from "./script.ts";
import { startOpenAi } from "./server.ts";

const KEY = "lab-key";
const TOOLS = ["look_up_customer", "end_call"].map((name) => ({
  type: "function" as const,
  name,
  parameters: {},
  strict: false,
}));

async function startService(write: (script: Script) => void = () => {}) {
  const clock = systemClock();
  const trace = openTrace({ clock });
  const script = createScript();
  write(script);
  const service = await startOpenAi({
    clock,
    trace: trace.as("openai"),
    script,
    keys: [KEY],
    deployments: ["voice"],
    firstTokenMs: 1,
    tokenMs: 1,
  });
  onTestFinished(() => service[Symbol.asyncDispose]());
  const options = { apiKey: KEY, maxRetries: 0 };
  const azure = new AzureOpenAI({
    ...options,
    endpoint: service.url,
    apiVersion: "2025-04-01-preview",
  });
  return {
    service,
    trace,
    azure,
    current: new OpenAI({ ...options, baseURL: `${service.url}/openai/v1/` }),
    plain: new OpenAI({ ...options, baseURL: `${service.url}/v1/` }),
  };
}

test.each(["azure", "current", "plain"] as const)(
  "the %s path answers in one piece",
  async (path) => {
    const clients = await startService((script) => script.when(/balance/).says("It is 49.99."));
    const answer = await clients[path].responses.create({ model: "voice", input: "My balance?" });
    expect(answer).toMatchObject({ status: "completed", object: "response", model: "voice" });
    expect(answer.output_text).toBe("It is 49.99.");
    expect(answer.usage?.total_tokens).toBe(
      (answer.usage?.input_tokens ?? 0) + (answer.usage?.output_tokens ?? 0),
    );
  },
);

test("a stream has the documented events in order, numbered, and no [DONE]", async () => {
  const { azure } = await startService((script) => script.when("hello").says("Good day to you."));
  const stream = await azure.responses.create({ model: "voice", input: "Hello", stream: true });
  const events = [];
  for await (const event of stream) events.push(event);
  expect(events.map(({ type }) => type)).toEqual([
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    ...Array.from({ length: 4 }, () => "response.output_text.delta"),
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
  ]);
  expect(events.map(({ sequence_number: number }) => number)).toEqual(
    events.map((_, index) => index),
  );
});

test("the SDK's stream reader puts a streamed call together", async () => {
  const { azure } = await startService((script) =>
    script
      .when("balance")
      .saysThenCalls("One moment.", "look_up_customer", { customer_id: "C-1042" }),
  );
  const response = await azure.responses
    .stream({ model: "voice", input: "My balance?", tools: TOOLS })
    .finalResponse();
  expect(response.output).toMatchObject([
    { type: "message", content: [{ text: "One moment." }] },
    { type: "function_call", name: "look_up_customer", arguments: '{"customer_id":"C-1042"}' },
  ]);
});

test("a conversation goes on from the response before, with the tool's result", async () => {
  const { plain } = await startService((script) => {
    script.when("balance").calls("look_up_customer", {});
    script.afterTool("look_up_customer").says(({ toolResult }) => `You owe ${String(toolResult)}.`);
    script.when("sure").says(({ conversation }) => `${conversation.messages.length} messages ago.`);
  });
  const first = await plain.responses.create({ model: "m", input: "balance", tools: TOOLS });
  const [call] = first.output;
  const callId = call?.type === "function_call" ? call.call_id : "";
  const second = await plain.responses.create({
    model: "m",
    previous_response_id: first.id,
    input: [{ type: "function_call_output", call_id: callId, output: "12" }],
  });
  expect(second).toMatchObject({ output_text: "You owe 12.", previous_response_id: first.id });
  const third = await plain.responses.create({
    model: "m",
    previous_response_id: second.id,
    input: "Are you sure?",
  });
  expect(third.output_text).toBe("5 messages ago.");
});

test("a response that was not to be stored cannot be continued", async () => {
  const { plain } = await startService((script) => script.otherwise().says("Yes."));
  const first = await plain.responses.create({ model: "m", input: "x", store: false });
  const next = plain.responses.create({ model: "m", input: "y", previous_response_id: first.id });
  await expect(next).rejects.toMatchObject({ status: 400, param: "previous_response_id" });
});

test.each([
  { body: {}, param: "model" },
  { body: { model: "voice" }, param: "input" },
  { body: { model: "voice", input: [{ role: "robot", content: "x" }] }, param: "input[0].role" },
  { body: { model: "voice", input: [{ type: "video" }] }, param: "input[0].type" },
  {
    body: { model: "voice", input: "x", tools: [{ type: "function", function: { name: "f" } }] },
    param: "tools[0].name",
  },
  {
    body: {
      model: "voice",
      input: [{ type: "function_call_output", call_id: "call_1", output: "" }],
    },
    param: "input",
  },
  {
    body: {
      model: "voice",
      input: [{ type: "function_call", call_id: "call_1", name: "f", arguments: "{}" }],
    },
    param: "input",
  },
])("an ill-formed request is refused and names $param", async ({ body, param }) => {
  const { service } = await startService((script) => script.otherwise().says("never"));
  const response = await fetch(`${service.url}/openai/v1/responses`, {
    method: "POST",
    headers: { "api-key": KEY },
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: { code: "invalid_request_error", param } });
});

test("a deployment that does not exist is not found, and a wrong key is refused", async () => {
  const { azure, service } = await startService();
  await expect(azure.responses.create({ model: "other", input: "x" })).rejects.toMatchObject({
    status: 404,
    code: "DeploymentNotFound",
  });
  const stranger = new OpenAI({ baseURL: `${service.url}/v1/`, apiKey: "wrong", maxRetries: 0 });
  await expect(stranger.responses.create({ model: "m", input: "x" })).rejects.toMatchObject({
    status: 401,
  });
});

test.each([
  { rule: "filtered", reason: "content_filter" },
  { rule: "cut", reason: "max_output_tokens" },
])("an answer that is $rule is incomplete", async ({ rule, reason }) => {
  const { plain } = await startService((script) => {
    const any = script.otherwise();
    if (rule === "filtered") any.isFiltered();
    else any.isCutAfter("and then");
  });
  expect(await plain.responses.create({ model: "m", input: "x" })).toMatchObject({
    status: "incomplete",
    incomplete_details: { reason },
  });
});

test("failures of the script come as they do in chat", async () => {
  const { plain, service } = await startService((script) => {
    script.when("busy").fails({ status: 429, retryAfterMs: 20 });
    script.when("drop").drops("one two");
  });
  await expect(plain.responses.create({ model: "m", input: "busy" })).rejects.toMatchObject({
    status: 429,
  });
  await expect(plain.responses.create({ model: "m", input: "what?" })).rejects.toMatchObject({
    status: 404,
    code: "linecheck_unscripted",
  });
  expect(service.unmatched).toEqual(["user: what?"]);
  const stream = await plain.responses.create({ model: "m", input: "drop", stream: true });
  let text = "";
  const reading = (async () => {
    for await (const event of stream)
      if (event.type === "response.output_text.delta") text += event.delta;
  })();
  await expect(reading).rejects.toThrow("terminated");
  expect(text).toBe("one two");
});

test("a client that leaves is noticed", async () => {
  const { plain, service, trace } = await startService((script) =>
    script.otherwise().says("word ".repeat(5000)),
  );
  const stream = await plain.responses.create({ model: "m", input: "x", stream: true });
  for await (const event of stream) if (event.type === "response.output_text.delta") break;
  await trace.waitFor((event) => event.type === "model" && event.kind === "abort", {
    timeoutMs: 5000,
    what: "abort at the model",
  });
  expect(service.aborted).toBe(1);
});
