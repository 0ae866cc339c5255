import { expect, test } from "vitest";
import { learnPhrases, type PreparedSpeech, withHeadStart, withPhrases } from "./prepared-voice.ts";
import type { SpeechPiece, Voice } from "./tts.ts";

interface Stage {
  readonly voice: Voice;
  readonly asked: string[];
  /** Lets one more piece of every utterance come. */
  readonly pieces: (() => void)[];
}

/** A voice whose pieces come when the test says so; "broken" breaks after the first. */
function stage(): Stage {
  const asked: string[] = [];
  const pieces: (() => void)[] = [];
  const speak = async function* (text: string): AsyncGenerator<SpeechPiece> {
    asked.push(text);
    for (let index = 0; index < 3; index += 1) {
      await new Promise<void>((resolve) => void pieces.push(resolve));
      if (text === "broken" && index > 0) throw new Error("the voice broke");
      yield { type: "audio", samples: new Uint8Array([index]) };
    }
  };
  return { asked, pieces, voice: { speak, [Symbol.asyncDispose]: () => Promise.resolve() } };
}

async function release({ pieces }: Stage, count: number): Promise<void> {
  for (let released = 0; released < count; ) {
    const piece = pieces.shift();
    piece?.();
    if (piece !== undefined) released += 1;
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

const LISTENING = { signal: new AbortController().signal };

async function samples(source: AsyncIterable<SpeechPiece>): Promise<number[]> {
  const pieces = await Array.fromAsync(source);
  return pieces.flatMap((piece) => (piece.type === "audio" ? Array.from(piece.samples) : []));
}

test("the greeting is synthesised before anybody listens", async () => {
  const theatre = stage();
  const voice = withHeadStart(theatre.voice, "Hello", LISTENING);
  expect(theatre.asked).toEqual(["Hello"]);
  await release(theatre, 2);
  const heard = samples(voice.speak("Hello", LISTENING));
  await release(theatre, 1);
  expect(await heard).toEqual([0, 1, 2]);
  expect(theatre.asked).toEqual(["Hello"]);
});

test("the second time, and any other text, is synthesised anew", async () => {
  const theatre = stage();
  const voice = withHeadStart(theatre.voice, "Hello", LISTENING);
  await release(theatre, 3);
  await samples(voice.speak("Hello", LISTENING));
  const again = samples(voice.speak("Hello", LISTENING));
  await release(theatre, 3);
  expect(await again).toEqual([0, 1, 2]);
  expect(theatre.asked).toEqual(["Hello", "Hello"]);
});

test("a head start that breaks is a failure for who listens, and for nobody else", async () => {
  const theatre = stage();
  const voice = withHeadStart(theatre.voice, "broken", LISTENING);
  await release(theatre, 2);
  await expect(samples(voice.speak("broken", LISTENING))).rejects.toThrow("the voice broke");
});

test("an aborted listener leaves quietly", async () => {
  const voice = withHeadStart(stage().voice, "Hello", LISTENING);
  const controller = new AbortController();
  const heard = samples(voice.speak("Hello", { signal: controller.signal }));
  controller.abort();
  expect(await heard).toEqual([]);
});

test("phrases known by heart need no service", async () => {
  const theatre = stage();
  const phrases = new Map<string, PreparedSpeech>();
  const learnt = learnPhrases({
    texts: ["Goodbye", "broken"],
    phrases,
    openVoice: () => theatre.voice,
    whenIdle: () => Promise.resolve(),
    ...LISTENING,
  });
  await release(theatre, 5);
  expect(await learnt).toEqual({ missing: 1 });
  const voice = withPhrases(theatre.voice, phrases);
  expect(await samples(voice.speak("Goodbye", LISTENING))).toEqual([0, 1, 2]);
  expect(await samples(voice.speak("Goodbye", { signal: AbortSignal.abort() }))).toEqual([]);
  expect(theatre.asked).toEqual(["Goodbye", "broken"]);
});

test("no phrase is learnt while somebody is on a call", async () => {
  const theatre = stage();
  const phrases = new Map<string, PreparedSpeech>();
  const controller = new AbortController();
  const busy = Promise.withResolvers<void>();
  const learnt = learnPhrases({
    texts: ["Goodbye"],
    phrases,
    openVoice: () => theatre.voice,
    whenIdle: () => busy.promise,
    signal: controller.signal,
  });
  expect(theatre.asked).toEqual([]);
  busy.reject(new Error("the service ends"));
  expect(await learnt).toEqual({ missing: 1 });
  expect(theatre.asked).toEqual([]);
});
