import { expect, test } from "vitest";
import { systemClock } from "../../clock.ts";
import type { Fault } from "../../faults.ts";
import { openPreviewSession, openSession, pcm, startService } from "./testing/service.ts";

const MESSAGE = { type: "message", role: "user", content: [{ type: "input_text", text: "Hi" }] };
/** A member that every object inherits; written plainly it would not have the type of the others. */
const INHERITED = { type: "server_vad", ...Object.fromEntries([["toString", 1]]) };

test.each([
  { event: { type: "session.destroy" }, code: "invalid_value", param: "type" },
  {
    event: { type: "session.update", session: { instructions: "x" } },
    code: "missing_required_parameter",
    param: "session.type",
  },
  {
    event: { type: "session.update", session: { type: "realtime", input_audio_format: "pcm16" } },
    code: "unknown_parameter",
    param: "session.input_audio_format",
  },
  {
    event: {
      type: "session.update",
      session: {
        type: "realtime",
        audio: { input: { turn_detection: { type: "server_vad", threshold: 2 } } },
      },
    },
    code: "integer_above_max_value",
    param: "session.audio.input.turn_detection.threshold",
  },
  { event: { type: "constructor" }, code: "invalid_value", param: "type" },
  {
    event: {
      type: "session.update",
      session: { type: "realtime", audio: { input: { format: { type: "constructor" } } } },
    },
    code: "invalid_value",
    param: "session.audio.input.format.type",
  },
  {
    event: {
      type: "session.update",
      session: {
        type: "realtime",
        audio: { input: { turn_detection: INHERITED } },
      },
    },
    code: "unknown_parameter",
    param: "session.audio.input.turn_detection.toString",
  },
  {
    event: {
      type: "session.update",
      session: { type: "realtime", audio: { output: { voice: "HAL" } } },
    },
    code: "invalid_value",
    param: "session.audio.output.voice",
  },
  {
    event: {
      type: "session.update",
      session: { type: "realtime", output_modalities: ["audio", "text"] },
    },
    code: "invalid_value",
    param: "session.output_modalities",
  },
  {
    event: {
      type: "session.update",
      session: { type: "realtime", tools: [{ type: "function", function: { name: "f" } }] },
    },
    code: "missing_required_parameter",
    param: "session.tools[0].name",
  },
  {
    event: { type: "input_audio_buffer.append" },
    code: "missing_required_parameter",
    param: "audio",
  },
  {
    event: { type: "input_audio_buffer.append", audio: "***" },
    code: "invalid_value",
    param: "audio",
  },
  {
    event: { type: "input_audio_buffer.commit" },
    code: "input_audio_buffer_commit_empty",
    param: null,
  },
  { event: { type: "response.cancel" }, code: "response_cancel_not_active", param: null },
  {
    event: {
      type: "conversation.item.truncate",
      item_id: "item_x",
      content_index: 0,
      audio_end_ms: 1,
    },
    code: "item_truncate_invalid_item_id",
    param: "item_id",
  },
  {
    event: { type: "conversation.item.delete", item_id: "item_x" },
    code: "item_delete_invalid_item_id",
    param: "item_id",
  },
  {
    event: {
      type: "conversation.item.create",
      item: { type: "function_call_output", call_id: "call_x", output: "" },
    },
    code: "invalid_tool_call_id",
    param: "item.call_id",
  },
  {
    event: { type: "conversation.item.create", previous_item_id: "item_x", item: MESSAGE },
    code: "item_create_invalid_previous_item_id",
    param: "item_id",
  },
])("$event.type is refused with $code and the session goes on", async ({ event, code, param }) => {
  const { azure } = await startService();
  const session = await openSession(azure);
  await session.next("session.created");
  session.send({ ...event, event_id: "mine" });
  expect(await session.next("error")).toMatchObject({
    error: { type: "invalid_request_error", code, param, event_id: "mine" },
  });
  session.send({ type: "conversation.item.create", item: MESSAGE });
  await session.next("conversation.item.added");
});

test("the GA interface's names are unknown to the preview", async () => {
  const { azure } = await startService();
  const session = await openPreviewSession(azure);
  session.send({ type: "session.update", session: { output_modalities: ["text"] } });
  expect(await session.next("error")).toMatchObject({ error: { code: "unknown_parameter" } });
});

test("the preview's formats are those and no others", async () => {
  const { azure } = await startService();
  const session = await openPreviewSession(azure);
  session.send({ type: "session.update", session: { input_audio_format: "toString" } });
  expect(await session.next("error")).toMatchObject({
    error: { code: "invalid_value", param: "session.input_audio_format" },
  });
});

test("what is no event is told so", async () => {
  const { azure } = await startService();
  const session = await openSession(azure);
  session.send({ no: "type" });
  expect(await session.next("error")).toMatchObject({ error: { code: "invalid_event" } });
  session.send([]);
  expect(await session.next("error")).toMatchObject({ error: { code: "invalid_json" } });
});

test("a second response is refused while one is being given", async () => {
  const { azure } = await startService({
    clock: systemClock(),
    pace: { speed: 1 },
    write: (script) => script.otherwise().says("a long answer ".repeat(40)),
  });
  const session = await openSession(azure);
  session.send({ type: "response.create" });
  const { response } = await session.next("response.created");
  session.send({ type: "response.create" });
  expect(await session.next("error")).toMatchObject({
    error: {
      code: "conversation_already_has_active_response",
      message: expect.stringContaining((response as { id: string }).id),
    },
  });
  session.send({ type: "response.cancel" });
  expect(await session.next("response.done")).toMatchObject({
    response: { status: "cancelled", status_details: { reason: "client_cancelled" } },
  });
});

test("audio cannot be cut behind its end, and the voice stays once it was heard", async () => {
  const { azure } = await startService({ write: (script) => script.otherwise().says("one two") });
  const session = await openSession(azure);
  session.send({ type: "response.create" });
  const { item_id: itemId } = await session.next("response.output_audio.done");
  await session.next("response.done");
  session.send({
    type: "conversation.item.truncate",
    item_id: itemId,
    content_index: 0,
    audio_end_ms: 201,
  });
  expect(await session.next("error")).toMatchObject({
    error: {
      code: "invalid_value",
      message: "Audio content of 200ms is already shorter than 201ms",
    },
  });
  session.send({
    type: "session.update",
    session: { type: "realtime", audio: { output: { voice: "cedar" } } },
  });
  expect(await session.next("error")).toMatchObject({ error: { code: "cannot_update_voice" } });
});

test("an answer that nobody scripted fails and is kept with its prompt", async () => {
  const { azure, service } = await startService();
  const session = await openSession(azure);
  session.send({ type: "conversation.item.create", item: MESSAGE });
  session.send({ type: "response.create" });
  expect(await session.next("response.done")).toMatchObject({
    response: { status: "failed", status_details: { error: { code: "linecheck_unscripted" } } },
  });
  expect(service.unmatched).toEqual(["user: Hi"]);
});

test.each([
  { rule: "fails", status: "failed", details: { error: { type: "server_error" } } },
  { rule: "filtered", status: "incomplete", details: { reason: "content_filter" } },
  { rule: "cut", status: "incomplete", details: { reason: "max_output_tokens" } },
  { rule: "broken", status: "failed", details: { error: { code: "overloaded" } } },
])("an answer that is $rule ends as $status", async ({ rule, status, details }) => {
  const { azure } = await startService({
    write: (script) => {
      const any = script.otherwise();
      if (rule === "fails") any.fails({ status: 500 });
      if (rule === "filtered") any.isFiltered("and then");
      if (rule === "broken") any.breaksWith({ status: 503, code: "overloaded" }, "and then");
      if (rule === "cut") any.isCutAfter("and then");
    },
  });
  const session = await openSession(azure);
  session.send({ type: "response.create" });
  expect(await session.next("response.done")).toMatchObject({
    response: {
      status,
      status_details: details,
      output: rule === "fails" ? [] : [{ content: [{ transcript: "and then" }] }],
    },
  });
});

test("an answer that stalls is silent until it is cancelled", async () => {
  const { azure } = await startService({
    write: (script) => script.otherwise().stalls("stream", "one"),
  });
  const session = await openSession(azure);
  session.send({ type: "response.create" });
  await session.next("response.output_audio.delta");
  session.send({ type: "response.cancel" });
  const { response } = await session.next("response.done");
  expect(response).toMatchObject({ status: "cancelled" });
  expect(session.types.filter((type) => type === "response.done")).toHaveLength(1);
});

test("a session whose time is up is told so and closed", async () => {
  const { azure } = await startService({ sessionMs: 60_000 });
  const session = await openSession(azure);
  expect(await session.next("error")).toMatchObject({
    error: {
      code: "session_expired",
      message: "Your session hit the maximum duration of 1 minutes.",
    },
  });
  expect(await session.closed).toBe(1001);
});

test("a planned fault breaks the connection, or closes it with its code", async () => {
  const faults: Fault[] = [
    { name: "openai.drop-realtime", with: { afterMs: 100 }, times: 1 },
    { name: "openai.drop-realtime", with: { afterMs: 100, code: 1011 }, times: 1 },
  ];
  const { azure } = await startService({ faults });
  const [first, second] = [await openSession(azure), await openSession(azure)];
  expect(await first.closed).toBe(1006);
  expect(await second.closed).toBe(1011);
});

test("the script's drop breaks the connection after the words before it", async () => {
  const { azure } = await startService({ write: (script) => script.otherwise().drops("one two") });
  const session = await openSession(azure);
  session.send({ type: "response.create" });
  expect(await session.closed).toBe(1006);
  expect(session.types).toContain("response.output_audio.delta");
});

test("an answer ends without a word when the client leaves", async () => {
  const { azure, trace } = await startService({
    clock: systemClock(),
    pace: { speed: 1 },
    write: (script) => script.otherwise().says("one ".repeat(400)),
  });
  const session = await openSession(azure);
  session.send({ type: "input_audio_buffer.append", audio: pcm(400) });
  session.send({ type: "response.create" });
  await session.next("response.output_audio.delta");
  session.close();
  await trace.waitFor((event) => event.type === "socket" && event.kind === "close", {
    timeoutMs: 10_000,
    what: "close",
  });
  const kinds = trace.events.map((event) => ("kind" in event ? event.kind : event.type));
  expect(kinds).toContain("response.created");
  expect(kinds).not.toContain("response.done");
});
