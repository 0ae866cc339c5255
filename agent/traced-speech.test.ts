import { trace } from "@opentelemetry/api";
import { afterEach, expect, test } from "vitest";
import { SpeechFailure } from "./stt.ts";
import { recordSpans } from "./testing/span-recorder.ts";
import { tracedListener, tracedVoice } from "./traced-speech.ts";
import { Stage } from "./tracing.ts";
import type { SpeechPiece } from "./tts.ts";

afterEach(() => trace.disable());

function listen() {
  const spans = recordSpans(() => 0);
  const reported: string[] = [];
  const stage = Stage.call("call-1");
  const listener = tracedListener(
    {
      onOnset: () => reported.push("onset"),
      onHypothesis: (text) => reported.push(text),
      onPhrase: (text) => reported.push(text),
      onNothing: () => reported.push("nothing"),
      onFailure: ({ code }) => reported.push(code),
    },
    stage,
  );
  return { spans: () => spans.slice(1), reported, listener };
}

test("a phrase is one span from its first sound to its text, and passes on all it reports", () => {
  const { spans, reported, listener } = listen();
  listener.onOnset();
  listener.onHypothesis("which");
  listener.onPhrase("Which plan?");
  expect(reported).toEqual(["onset", "which", "Which plan?"]);
  expect(spans()).toMatchObject([{ name: "recognize", ended: true, attributes: {} }]);
});

test("a sound that was no speech, a failure and a call's end tell why there is no text", () => {
  const { spans, listener } = listen();
  listener.onOnset();
  listener.onNothing();
  listener.onOnset();
  listener.onFailure(new SpeechFailure("recognition", "ConnectionFailure", "gone"));
  listener.onOnset();
  listener[Symbol.dispose]();
  expect(spans().map(({ attributes, ended }) => [attributes["error.type"], ended])).toEqual([
    ["no_match", true],
    ["ConnectionFailure", true],
    ["call_ended", true],
  ]);
});

test("a failure between two phrases begins no span", () => {
  const { spans, listener } = listen();
  listener.onNothing();
  listener.onFailure(new SpeechFailure("recognition", "ConnectionFailure", "gone"));
  expect(spans()).toEqual([]);
});

async function* broken(): AsyncGenerator<SpeechPiece> {
  yield { type: "audio", samples: new Uint8Array(2) };
  throw new SpeechFailure("synthesis", "TooManyRequests", "429");
}

test("an utterance that breaks off is a failed span, and its reader gets the failure", async () => {
  const spans = recordSpans(() => 0);
  const voice = tracedVoice({ speak: broken }, Stage.call("call-1"));
  const reading = Array.fromAsync(voice.speak("Hello.", { signal: AbortSignal.timeout(1000) }));
  await expect(reading).rejects.toThrow("TooManyRequests");
  expect(spans[1]).toMatchObject({
    name: "synthesize",
    ended: true,
    attributes: { "speech.characters": 6, "error.type": "TooManyRequests" },
  });
  expect(spans[1]?.events.has("first audio")).toBe(true);
});
