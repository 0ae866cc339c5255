import { expect, test } from "vitest";
import { systemClock } from "../../clock.ts";
import { openPreviewSession, openSession, pcm, startService } from "./testing/service.ts";

const SPEECH_THEN_SILENCE = [pcm(400), pcm(800, "silence")];

/** Says one turn: a tone, and the pause that ends it. */
function speak({ send }: { send: (event: object) => void }): void {
  for (const audio of SPEECH_THEN_SILENCE) send({ type: "input_audio_buffer.append", audio });
}

test("a session begins with its defaults and shows every change", async () => {
  const { azure } = await startService();
  const session = await openSession(azure);
  expect(await session.next("session.created")).toMatchObject({
    session: {
      type: "realtime",
      object: "realtime.session",
      model: "voice",
      output_modalities: ["audio"],
      audio: {
        input: {
          format: { type: "audio/pcm", rate: 24_000 },
          transcription: null,
          turn_detection: { type: "server_vad", threshold: 0.5, silence_duration_ms: 500 },
        },
        output: { voice: "alloy" },
      },
    },
  });
  session.send({
    type: "session.update",
    session: {
      type: "realtime",
      instructions: "Be brief.",
      audio: {
        input: { turn_detection: { type: "semantic_vad", eagerness: "low" } },
        output: { voice: "marin" },
      },
    },
  });
  expect(await session.next("session.updated")).toMatchObject({
    session: {
      instructions: "Be brief.",
      audio: {
        input: {
          turn_detection: { type: "semantic_vad", eagerness: "low", interrupt_response: true },
        },
        output: { voice: "marin", format: { type: "audio/pcm" } },
      },
    },
  });
});

test("a turn of the caller is detected, transcribed and answered with audio, in the documented order", async () => {
  const { azure } = await startService({
    turns: ["What is my balance?"],
    write: (script) => script.when("balance").says("It is forty nine dollars."),
  });
  const session = await openSession(azure);
  session.send({
    type: "session.update",
    session: { type: "realtime", audio: { input: { transcription: { model: "whisper-1" } } } },
  });
  speak(session);
  const done = await session.next("response.done");
  await session.next("rate_limits.updated");
  expect(session.types.filter((type) => !/transcription|transcript\.delta/.test(type))).toEqual([
    "session.created",
    "session.updated",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.item.done",
    "response.done",
    "rate_limits.updated",
  ]);
  expect(await session.next("conversation.item.input_audio_transcription.completed")).toMatchObject(
    {
      transcript: "What is my balance?",
    },
  );
  expect(done).toMatchObject({
    response: {
      status: "completed",
      output: [
        {
          role: "assistant",
          content: [{ type: "output_audio", transcript: "It is forty nine dollars." }],
        },
      ],
      usage: { output_token_details: { audio_tokens: 10 } },
    },
  });
});

test("what the detector reports is the audio's own time", async () => {
  const { azure } = await startService({ write: (script) => script.otherwise().says("Yes.") });
  const session = await openSession(azure);
  session.send({ type: "input_audio_buffer.append", audio: pcm(1000, "silence") });
  speak(session);
  const started = await session.next("input_audio_buffer.speech_started");
  const stopped = await session.next("input_audio_buffer.speech_stopped");
  // 300 ms of padding before, 500 ms of silence after.
  expect(started).toMatchObject({ audio_start_ms: 700 });
  expect(stopped).toMatchObject({ audio_end_ms: 1900, item_id: started["item_id"] });
});

test("the preview's names are spoken to a preview client", async () => {
  const { azure } = await startService({
    turns: ["Hello?"],
    write: (script) => script.when("hello").says("Good day."),
  });
  const session = await openPreviewSession(azure);
  expect(await session.next("session.created")).toMatchObject({
    session: { modalities: ["audio", "text"], input_audio_format: "pcm16", voice: "alloy" },
  });
  session.send({
    type: "session.update",
    session: {
      input_audio_transcription: { model: "whisper-1" },
      output_audio_format: "g711_ulaw",
    },
  });
  expect(await session.next("session.updated")).toMatchObject({
    session: { output_audio_format: "g711_ulaw", turn_detection: { type: "server_vad" } },
  });
  speak(session);
  const { response } = await session.next("response.done");
  expect(response).toMatchObject({
    modalities: ["audio", "text"],
    output: [{ content: [{ type: "audio", transcript: "Good day." }] }],
  });
  expect(session.types).toEqual(
    expect.arrayContaining([
      "conversation.item.created",
      "response.audio.delta",
      "response.audio_transcript.done",
    ]),
  );
  for (const type of ["response.output_audio.delta", "conversation.item.added"]) {
    expect(session.types).not.toContain(type);
  }
});

test("a function is called in fragments and its result leads to the answer", async () => {
  const { azure } = await startService({
    turns: ["My balance?"],
    write: (script) => {
      script.when("balance").calls("look_up_customer", { customer_id: "C-1042" });
      script
        .afterTool("look_up_customer")
        .says(({ toolResult }) => `You owe ${JSON.stringify(toolResult)}.`);
    },
  });
  const session = await openSession(azure);
  session.send({
    type: "session.update",
    session: {
      type: "realtime",
      tools: [{ type: "function", name: "look_up_customer", parameters: {} }],
    },
  });
  speak(session);
  const call = await session.next("response.function_call_arguments.done");
  expect(call).toMatchObject({ name: "look_up_customer", arguments: '{"customer_id":"C-1042"}' });
  const deltas = session.received.filter(
    ({ type }) => type === "response.function_call_arguments.delta",
  );
  expect(deltas.length).toBeGreaterThan(1);
  expect(deltas.map(({ delta }) => delta).join("")).toBe(call["arguments"]);
  await session.next("response.done");
  session.send({
    type: "conversation.item.create",
    item: { type: "function_call_output", call_id: call["call_id"], output: "12" },
  });
  session.send({ type: "response.create" });
  const { transcript } = await session.next("response.output_audio_transcript.done");
  expect(transcript).toBe("You owe 12.");
});

test("a caller who interrupts cancels the answer, and the model keeps the words that were heard", async () => {
  const conversations: string[][] = [];
  const { azure } = await startService({
    turns: ["Tell me.", "And?"],
    // As slow as it plays, so that the answer is still coming when it is interrupted.
    clock: systemClock(),
    pace: { speed: 1 },
    write: (script) => {
      script
        .when("tell")
        .says("one two three four five six seven eight nine ten ".repeat(8).trim());
      script.when("and").says(({ conversation }) => {
        conversations.push(conversation.messages.map(({ role, content }) => `${role}: ${content}`));
        return "Fine.";
      });
    },
  });
  const session = await openSession(azure);
  speak(session);
  const { item_id: itemId } = await session.next("response.output_audio.delta");
  await session.next("response.output_audio.delta");
  speak(session);
  const { response } = await session.next("response.done");
  expect(response).toMatchObject({
    status: "cancelled",
    status_details: { type: "cancelled", reason: "turn_detected" },
    output: [{ status: "incomplete" }],
  });
  const truncate = { item_id: itemId, content_index: 0, audio_end_ms: 250 };
  session.send({ type: "conversation.item.truncate", ...truncate });
  expect(await session.next("conversation.item.truncated")).toMatchObject(truncate);
  await session.next("response.done");
  expect(conversations).toEqual([["user: Tell me.", "assistant: one two three", "user: And?"]]);
});

test("instructions of a response come before what the caller said last", async () => {
  const { azure } = await startService({
    write: (script) => {
      script.whenInstructed(/^Say: (.+)/).says(({ match }) => match?.[1] ?? "");
      script.otherwise().says("No.");
    },
  });
  const session = await openSession(azure);
  session.send({ type: "response.create", response: { instructions: "Say: Good morning." } });
  expect(await session.next("response.output_audio_transcript.done")).toMatchObject({
    transcript: "Good morning.",
  });
});

test("an answer in text, out of band, leaves the conversation alone", async () => {
  const { azure } = await startService({
    write: (script) => script.when("classify").says("billing"),
  });
  const session = await openSession(azure);
  session.send({
    type: "response.create",
    response: {
      conversation: "none",
      output_modalities: ["text"],
      metadata: { topic: "1" },
      input: [
        {
          type: "message",
          role: "user",
          content: [{ type: "input_text", text: "Classify this." }],
        },
      ],
    },
  });
  const { response } = await session.next("response.done");
  expect(response).toMatchObject({
    conversation_id: null,
    metadata: { topic: "1" },
    output: [{ content: [{ type: "output_text", text: "billing" }] }],
  });
  expect(session.types).not.toContain("conversation.item.added");
});

test("without turn detection the client commits, and asks", async () => {
  const { azure } = await startService({
    turns: ["Hello."],
    write: (script) => script.when("hello").says("Hi."),
  });
  const session = await openSession(azure);
  session.send({
    type: "session.update",
    session: {
      type: "realtime",
      audio: {
        input: { turn_detection: null, format: { type: "audio/pcmu" } },
        output: { format: { type: "audio/pcma" } },
      },
    },
  });
  session.send({
    type: "input_audio_buffer.append",
    audio: Buffer.alloc(1600, 0x55).toString("base64"),
  });
  session.send({ type: "input_audio_buffer.clear" });
  await session.next("input_audio_buffer.cleared");
  session.send({ type: "input_audio_buffer.commit" });
  expect(await session.next("error")).toMatchObject({
    error: { code: "input_audio_buffer_commit_empty" },
  });
  session.send({
    type: "input_audio_buffer.append",
    audio: Buffer.alloc(1600, 0x55).toString("base64"),
  });
  session.send({ type: "input_audio_buffer.commit" });
  await session.next("input_audio_buffer.committed");
  session.send({ type: "response.create" });
  const { delta } = await session.next("response.output_audio.delta");
  // One word of 100 ms, a byte a sample at 8 kHz.
  expect(Buffer.from(String(delta), "base64")).toHaveLength(800);
  expect(session.types).not.toContain("input_audio_buffer.speech_started");
});

test("the same words are the same bytes", async () => {
  const { azure } = await startService({
    write: (script) => script.otherwise().says("one two three"),
  });
  const sounds: string[] = [];
  for (const _ of [1, 2]) {
    const session = await openSession(azure);
    session.send({ type: "response.create" });
    await session.next("response.done");
    sounds.push(
      session.received
        .flatMap(({ type, delta }) => (type === "response.output_audio.delta" ? [delta] : []))
        .join(),
    );
  }
  expect(sounds[0]).not.toBe("");
  expect(sounds[1]).toBe(sounds[0]);
});
