import { getResponse, HttpResponse, http, type RequestHandler } from "msw";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { type Model, type ModelPiece, openModel } from "./llm.ts";
import { TOOLS } from "./tools.ts";

const URL_PATTERN = "https://contoso.openai.azure.com/openai/deployments/gpt/chat/completions";

// Handlers answer fetch itself: msw's socket interception leaves every mocked socket open.
const handlers: RequestHandler[] = [];
vi.stubGlobal("fetch", async (input: string, init: RequestInit) => {
  const response = await getResponse(handlers, new Request(input, init));
  if (response === undefined) throw new Error(`nobody handles ${input}`);
  return response;
});
afterEach(() => {
  handlers.length = 0;
});
afterAll(() => vi.unstubAllGlobals());

function model(options: Partial<Parameters<typeof openModel>[0]> = {}): Model {
  return openModel({
    endpoint: "https://contoso.openai.azure.com",
    key: "model key",
    deployment: "gpt",
    apiVersion: "2024-10-21",
    stallTimeoutMs: 1000,
    maxRetries: 0,
    maxTokens: 300,
    ...options,
  });
}

const FIRST =
  'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[]}\n\n';
const delta = (body: string, finish = "null") =>
  `data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[{"index":0,"delta":${body},"finish_reason":${finish}}]}\n\n`;
const DONE = "data: [DONE]\n\n";

function stream(frames: readonly string[]): HttpResponse<ReadableStream> {
  const body = new ReadableStream({
    start: (controller) => {
      for (const frame of frames) controller.enqueue(new TextEncoder().encode(frame));
      controller.close();
    },
  });
  return new HttpResponse(body, { headers: { "Content-Type": "text/event-stream" } });
}

function answers(...frames: string[]): void {
  handlers.push(http.post(URL_PATTERN, () => stream(frames)));
}

async function ask(asked = model(), signal = new AbortController().signal): Promise<ModelPiece[]> {
  const pieces: ModelPiece[] = [];
  const messages = [{ role: "user" as const, content: "Hello" }];
  for await (const piece of asked.reply(messages, { signal, tools: TOOLS })) {
    if (piece.type !== "started") pieces.push(piece);
  }
  return pieces;
}

test("text comes as it is streamed, and Azure's empty first chunk does no harm", async () => {
  answers(
    FIRST,
    delta('{"role":"assistant","content":""}'),
    delta('{"content":"Good "}'),
    delta('{"content":"day."}'),
    delta("{}", '"stop"'),
    DONE,
  );
  expect(await ask()).toEqual([
    { type: "text", text: "Good " },
    { type: "text", text: "day." },
  ]);
});

test("the request names the deployment, the key, the tools, and asks for a stream", async () => {
  const seen: unknown[] = [];
  handlers.push(
    http.post(URL_PATTERN, async ({ request }) => {
      const url = new URL(request.url);
      seen.push(
        url.searchParams.get("api-version"),
        request.headers.get("api-key"),
        await request.json(),
      );
      return stream([delta("{}", '"stop"'), DONE]);
    }),
  );
  await ask();
  expect(seen).toMatchObject([
    "2024-10-21",
    "model key",
    { stream: true, messages: [{ role: "user" }] },
  ]);
  expect(JSON.stringify(seen[2])).toContain("escalate_to_human");
});

test("parallel tool calls are assembled from interleaved fragments", async () => {
  answers(
    FIRST,
    delta(
      '{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"look_up_customer","arguments":""}}]}',
    ),
    delta(
      '{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"end_call","arguments":""}}]}',
    ),
    delta('{"tool_calls":[{"index":0,"function":{"arguments":"{\\"customer"}}]}'),
    delta('{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}'),
    delta('{"tool_calls":[{"index":0,"function":{"arguments":"_id\\":\\"C-1\\"}"}}]}'),
    delta("{}", '"tool_calls"'),
    DONE,
  );
  expect(await ask()).toEqual([
    {
      type: "tools",
      calls: [
        { id: "a", name: "look_up_customer", arguments: '{"customer_id":"C-1"}' },
        { id: "b", name: "end_call", arguments: "{}" },
      ],
    },
  ]);
});

test.each([
  [429, {}, "throttled"],
  [500, {}, "refused"],
  [401, {}, "refused"],
  [404, { code: "DeploymentNotFound" }, "refused"],
  [400, { code: "content_filter", param: "prompt" }, "filtered"],
])("status %i %j is %s", async (status, error, code) => {
  handlers.push(
    http.post(URL_PATTERN, () =>
      HttpResponse.json({ error: { message: "no", ...error } }, { status }),
    ),
  );
  await expect(ask()).rejects.toMatchObject({ name: "ModelFailure", code });
});

test("a refused request is tried again as often as configured", async () => {
  let requests = 0;
  handlers.push(
    http.post(URL_PATTERN, () => {
      requests += 1;
      if (requests > 1) return stream([delta('{"content":"Hi"}'), delta("{}", '"stop"'), DONE]);
      return HttpResponse.json({ error: {} }, { status: 429, headers: { "retry-after-ms": "5" } });
    }),
  );
  expect(await ask(model({ maxRetries: 1 }))).toEqual([{ type: "text", text: "Hi" }]);
  expect(requests).toBe(2);
});

test("an answer that the filter ends is a failure, after what came before", async () => {
  answers(FIRST, delta('{"content":"I"}'), delta("{}", '"content_filter"'), DONE);
  await expect(ask()).rejects.toMatchObject({ code: "filtered" });
});

test("an error inside the stream is a failure", async () => {
  answers(FIRST, 'data: {"error":{"message":"overloaded","code":"server_error"}}\n\n');
  await expect(ask()).rejects.toMatchObject({ code: "dropped" });
});

test("a stream that ends without a reason was dropped", async () => {
  answers(FIRST, delta('{"content":"Your balance is"}'));
  await expect(ask()).rejects.toMatchObject({ code: "dropped" });
});
