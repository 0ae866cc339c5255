import { expect, test } from "vitest";
import { manualClock } from "../../clock.ts";
import { openSession, pcm, startService } from "./testing/service.ts";

const IDLE = {
  type: "session.update",
  session: {
    type: "realtime",
    audio: { input: { turn_detection: { type: "server_vad", idle_timeout_ms: 5000 } } },
  },
};

test("nobody says anything for the idle time and the model speaks again", async () => {
  const { azure } = await startService({
    write: (script) => {
      script.whenInstructed(/greet/).says("Hello.");
      script.when(/^$/).says("Are you still there?");
    },
  });
  const session = await openSession(azure);
  session.send(IDLE);
  session.send({ type: "response.create", response: { instructions: "greet" } });
  await session.next("response.done");
  await session.next("input_audio_buffer.timeout_triggered");
  expect(await session.next("response.done")).toMatchObject({
    response: { output: [{ content: [{ transcript: "Are you still there?" }] }] },
  });
});

test("nobody is idle while the caller speaks, also after an interrupted answer", async () => {
  const clock = manualClock();
  const { azure } = await startService({
    clock,
    pace: { speed: 1 },
    write: (script) => script.otherwise().says("one ".repeat(40).trim()),
  });
  const session = await openSession(azure);
  session.send(IDLE);
  session.send({ type: "response.create" });
  await session.next("response.created");
  await clock.advance(1000);
  await session.next("response.output_audio.delta");
  session.send({ type: "input_audio_buffer.append", audio: pcm(400) });
  await session.next("response.done");
  // A turn that is longer than the answer's audio and the idle time together.
  await clock.advance(60_000);
  session.send({
    type: "response.create",
    response: { conversation: "none", output_modalities: ["text"] },
  });
  await session.next("response.created");
  await clock.advance(60_000);
  await session.next("response.done");
  session.send({ type: "input_audio_buffer.append", audio: pcm(800, "silence") });
  await session.next("input_audio_buffer.speech_stopped");
  expect(session.types).not.toContain("input_audio_buffer.timeout_triggered");
});

test("two answers leave one idle time, and a session that is over none", async () => {
  const clock = manualClock();
  const { azure } = await startService({
    clock,
    write: (script) => script.otherwise().says("Yes."),
  });
  const session = await openSession(azure);
  session.send(IDLE);
  const text = { conversation: "none", output_modalities: ["text"] };
  for (const response of [text, text]) session.send({ type: "response.create", response });
  for (const _ of [1, 2]) await session.next("response.created");
  await clock.advance(1000);
  for (const _ of [1, 2]) await session.next("response.done");
  // The idle time, and the session's own.
  expect(clock.pending).toBe(2);
  session.close();
  await expect.poll(() => clock.pending).toBe(0);
});
