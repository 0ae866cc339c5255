import { AzureOpenAI, BadRequestError } from "openai";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { type Fault, faultPlan } from "../faults.ts";
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
    planned: [{ name: "openai.status", with: failure, times: 1 }],
  });
  for (const each of [client, planned.client]) {
    const text = each.chat.completions
      .create(ASK)
      .then(({ choices }) => choices[0]?.message.content)
      .catch((error: { status: number }) => error.status);
    expect(await text).toBe(answered ? "Yes." : status);
  }
});
