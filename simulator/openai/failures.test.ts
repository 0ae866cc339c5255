import { AzureOpenAI, BadRequestError } from "openai";
import { expect, onTestFinished, test } from "vitest";
import { type Clock, systemClock } from "../clock.ts";
import { type Fault, faultPlan, parseFault } from "../faults.ts";
import { createScript, type Script } from "./script.ts";
import { type OpenAiOptions, startOpenAi } from "./server.ts";

async function startService(
  write: (script: Script) => void,
  options: Partial<OpenAiOptions> & { planned?: readonly Fault[] } = {},
) {
  const { planned = [], ...rest } = options;
  const script = createScript();
  write(script);
  const service = await startOpenAi({
    clock: systemClock(),
    faults: faultPlan(planned),
    script,
    keys: ["lab-key"],
    deployments: ["voice"],
    firstTokenMs: 1,
    tokenMs: 1,
    ...rest,
  });
  onTestFinished(() => service[Symbol.asyncDispose]());
  const client = new AzureOpenAI({
    endpoint: service.url,
    apiKey: "lab-key",
    apiVersion: "2025-04-01-preview",
    deployment: "voice",
    maxRetries: 2,
  });
  return { service, client };
}

const ASK = { model: "voice", messages: [{ role: "user" as const, content: "x" }] };

const INNER = {
  code: "ResponsibleAIPolicyViolation",
  content_filter_result: { violence: { filtered: true, severity: "medium" } },
};

test("a prompt that is refused has Azure's documented shape", async () => {
  const { client } = await startService((script) =>
    script.otherwise().fails({
      status: 400,
      code: "content_filter",
      message: "The response was filtered.",
      param: "prompt",
      type: null,
      innererror: INNER,
    }),
  );
  const error: unknown = await client.chat.completions
    .create(ASK)
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(BadRequestError);
  expect(error).toMatchObject({ code: "content_filter", param: "prompt" });
  expect((error as BadRequestError).error).toEqual({
    message: "The response was filtered.",
    type: null,
    param: "prompt",
    code: "content_filter",
    status: 400,
    innererror: INNER,
  });
});

test.each([
  { status: 500, shouldRetry: false, answered: false },
  { status: 400, shouldRetry: true, answered: true },
])("a client is told whether to try $status again", async ({ status, shouldRetry, answered }) => {
  const failure = { status, shouldRetry, retryAfterMs: 1 };
  const { client } = await startService((script) => script.otherwise().fails(failure).says("Yes."));
  const planned = await startService((script) => script.otherwise().says("Yes."), {
    planned: [
      parseFault(
        `openai.status:status=${status},shouldRetry=${shouldRetry},times=1,retryAfterMs=1`,
      ),
    ],
  });
  for (const each of [client, planned.client]) {
    const text = each.chat.completions
      .create(ASK)
      .then(({ choices }) => choices[0]?.message.content)
      .catch((error: { status: number }) => error.status);
    expect(await text).toBe(answered ? "Yes." : status);
  }
});

const SAFE = { filtered: false, severity: "safe" };
const STRUCK = {
  hate: SAFE,
  self_harm: SAFE,
  sexual: SAFE,
  violence: { filtered: true, severity: "medium" },
};

test("an answer is filtered in the middle, and the category that struck is told", async () => {
  const { client } = await startService((script) =>
    script.otherwise().isFiltered("You should", "violence"),
  );
  const whole = await client.chat.completions.create(ASK);
  expect(whole.choices[0]).toMatchObject({
    message: { content: "You should" },
    finish_reason: "content_filter",
    content_filter_results: STRUCK,
  });
  const stream = await client.chat.completions.create({ ...ASK, stream: true });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe("You should");
  expect(chunks.at(-1)?.choices[0]).toMatchObject({
    finish_reason: "content_filter",
    content_filter_results: STRUCK,
  });
});

test("the Responses API keeps what was said before the filter as incomplete", async () => {
  const { client } = await startService((script) => script.otherwise().isFiltered("You should"));
  const response = await client.responses.stream({ model: "voice", input: "x" }).finalResponse();
  expect(response).toMatchObject({
    status: "incomplete",
    incomplete_details: { reason: "content_filter" },
    output_text: "You should",
    output: [{ type: "message", status: "incomplete" }],
  });
});

const OVERLOADED = { status: 503, code: "server_error", message: "The server is overloaded." };

test("a stream breaks with an error of its own after the words before it", async () => {
  const { client } = await startService((script) =>
    script.otherwise().breaksWith(OVERLOADED, "one two"),
  );
  const stream = await client.chat.completions.create({ ...ASK, stream: true });
  let text = "";
  const reading = (async () => {
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  })();
  await expect(reading).rejects.toMatchObject({
    status: undefined,
    code: "server_error",
    error: { message: "The server is overloaded." },
  });
  expect(text).toBe("one two");
  const whole = client.chat.completions.create(ASK, { maxRetries: 0 });
  await expect(whole).rejects.toMatchObject({ status: 503, code: "server_error" });
});

test("the Responses API ends such a stream as failed", async () => {
  const { client } = await startService((script) =>
    script.otherwise().breaksWith(OVERLOADED, "one two"),
  );
  const events = [];
  const input = { model: "voice", input: "x" };
  for await (const event of await client.responses.create({ ...input, stream: true }))
    events.push(event);
  expect(events.filter(({ type }) => type === "response.output_text.delta")).toHaveLength(2);
  expect(events.at(-1)).toMatchObject({
    type: "response.failed",
    sequence_number: events.length - 1,
    response: {
      status: "failed",
      error: { code: "server_error", message: "The server is overloaded." },
    },
  });
  expect(events.some(({ type }) => type.endsWith(".done"))).toBe(false);
  const whole = client.responses.create(input, { maxRetries: 0 });
  await expect(whole).rejects.toMatchObject({ status: 503 });
});

test("tokens come in bursts, as slowly on the whole", async () => {
  const real = systemClock({ rate: 100 });
  const pausesMs: number[] = [];
  const clock: Clock = {
    now: () => real.now(),
    date: () => real.date(),
    after: (delayMs, callback) => real.after(delayMs, callback),
    every: (periodMs, callback) => real.every(periodMs, callback),
    sleep(delayMs, options) {
      pausesMs.push(delayMs);
      return real.sleep(delayMs, options);
    },
  };
  const { client } = await startService(
    (script) => script.otherwise().says("one two three four five"),
    { clock, firstTokenMs: 0, tokenMs: 10, burstTokens: 3 },
  );
  const answer = await client.chat.completions.stream(ASK).finalChatCompletion();
  expect(answer.choices[0]?.message.content).toBe("one two three four five");
  expect(pausesMs).toEqual([30, 20]);
});
