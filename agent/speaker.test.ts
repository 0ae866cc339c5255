import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { MediaStream } from "./media-stream.ts";
import { Speaker } from "./speaker.ts";
import type { SpeechPiece, Voice } from "./tts.ts";

const WORD_MS = 100;
const RATE_HZ = 16_000;

/** A voice of 100 ms per word, with or without word times. */
function voiceOf({ timed = true, fails = 0 }: { timed?: boolean; fails?: number } = {}): Voice {
  let failures = fails;
  return {
    async *speak(text, { signal }): AsyncGenerator<SpeechPiece> {
      for (const [index, match] of Array.from(text.matchAll(/\S+/g)).entries()) {
        if (signal.aborted) return;
        if (failures > 0) {
          failures -= 1;
          throw new Error("the voice broke");
        }
        const startMs = index * WORD_MS;
        const word = { text: match[0], textOffset: match.index, startMs, endMs: startMs + WORD_MS };
        if (timed) yield { type: "word", word };
        yield { type: "audio", samples: new Uint8Array((RATE_HZ * 2 * WORD_MS) / 1000).fill(0x10) };
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A media stream over a socket that swallows everything, with a clock moved by hand. */
function openMedia() {
  let now = 0;
  const socket = Object.assign(new EventEmitter(), { send: () => {}, close: () => {} });
  Object.setPrototypeOf(socket, WebSocket.prototype);
  const media = new MediaStream(socket as unknown as WebSocket, {
    rateHz: RATE_HZ,
    leadMs: 60_000,
    latencyMs: 0,
    graceMs: 0,
    now: () => now,
    onAudio: () => {},
  });
  return { media, pass: (durationMs: number) => (now += durationMs) };
}

/** What the caller heard of `text` when interrupted after `playedMs`. */
async function heardAfter(playedMs: number, text: string, timed = true): Promise<string> {
  const { media, pass } = openMedia();
  const controller = new AbortController();
  const speaker = new Speaker({ voice: voiceOf({ timed }), media }, controller.signal);
  speaker.say(text);
  await untilWritten(media, text.split(" ").length * WORD_MS);
  pass(playedMs);
  controller.abort();
  await speaker.finished();
  return speaker.heard();
}

async function untilWritten(media: MediaStream, durationMs: number): Promise<void> {
  while (media.writtenMs < durationMs) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

test("an interruption swept over a reply keeps what was audible: never more than one word beyond", async () => {
  const text = "one two three four five six seven eight";
  const words = text.split(" ");
  for (let playedMs = 0; playedMs <= words.length * WORD_MS; playedMs += 40) {
    const heard = (await heardAfter(playedMs, text)).split(" ").filter((word) => word !== "");
    const begun = Math.ceil(playedMs / WORD_MS);
    const finished = Math.floor(playedMs / WORD_MS);
    expect(heard).toEqual(words.slice(0, heard.length));
    expect(heard.length).toBeLessThanOrEqual(begun);
    expect(heard.length).toBeGreaterThanOrEqual(finished);
  }
});

test("punctuation and spelling of the heard part are the text's own", async () => {
  expect(await heardAfter(210, "Well, Dana: that is right.")).toBe("Well, Dana:");
});

test("without word times the share of the audio decides", async () => {
  expect(await heardAfter(220, "one two three four", false)).toBe("one two");
  expect(await heardAfter(0, "one two three four", false)).toBe("");
  expect(await heardAfter(5000, "one two three four", false)).toBe("one two three four");
});

test("sentences are spoken in order and heard as one text", async () => {
  const { media, pass } = openMedia();
  const speaker = new Speaker({ voice: voiceOf(), media }, new AbortController().signal);
  speaker.say("one two.");
  speaker.say("three four.");
  await untilWritten(media, 400);
  pass(310);
  expect(speaker.heard()).toBe("one two. three");
});

test("an aside is spoken but is no part of the reply", async () => {
  const { media, pass } = openMedia();
  const speaker = new Speaker({ voice: voiceOf(), media }, new AbortController().signal);
  speaker.aside("One moment.");
  expect(speaker.idle).toBe(true);
  speaker.say("one two");
  expect(speaker.idle).toBe(false);
  await untilWritten(media, 400);
  pass(400);
  expect(speaker.heard()).toBe("one two");
});

test("a synthesis that breaks once is tried again", async () => {
  const { media, pass } = openMedia();
  const speaker = new Speaker(
    { voice: voiceOf({ fails: 1 }), media },
    new AbortController().signal,
  );
  speaker.say("one two");
  await untilWritten(media, 200);
  pass(200);
  await speaker.finished();
  expect(speaker.heard()).toBe("one two");
});

test("a synthesis that stays broken is reported at the end", async () => {
  const { media } = openMedia();
  const speaker = new Speaker(
    { voice: voiceOf({ fails: 99 }), media },
    new AbortController().signal,
  );
  speaker.say("one two");
  speaker.say("three");
  await expect(speaker.finished()).rejects.toThrow("the voice broke");
  expect(speaker.heard()).toBe("");
  expect(speaker.started).toBe(false);
});

test("a reply aborted before it began was not heard and is not spoken", async () => {
  const { media } = openMedia();
  const speaker = new Speaker({ voice: voiceOf(), media }, AbortSignal.abort());
  speaker.say("one two");
  await speaker.finished();
  expect(speaker.heard()).toBe("");
  expect(media.writtenMs).toBe(0);
});

test("silence before a voice's first word is not played, and the words are still placed right", async () => {
  const { media, pass } = openMedia();
  const quiet = (RATE_HZ * 2 * 150) / 1000;
  const spoken = voiceOf();
  const voice: Voice = {
    async *speak(text, options) {
      yield { type: "audio", samples: new Uint8Array(quiet) };
      for await (const piece of spoken.speak(text, options)) {
        if (piece.type === "audio") yield piece;
        else {
          const { word } = piece;
          const later = { ...word, startMs: word.startMs + 150, endMs: word.endMs + 150 };
          yield { type: "word", word: later };
        }
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const speaker = new Speaker({ voice, media }, new AbortController().signal);
  speaker.say("one two three");
  speaker.say("four");
  await untilWritten(media, 300);
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  // 10 ms before the first sound stay; between two sentences the silence is the pause.
  expect(media.writtenMs).toBe(10 + 300 + 150 + 100);
  pass(10 + 210);
  expect(speaker.heard()).toBe("one two");
  pass(90 + 150 + 60);
  expect(speaker.heard()).toBe("one two three four");
});

test("what has been heard to its end is not stopped: an abort after that leaves the next words alone", async () => {
  const { media, pass } = openMedia();
  const first = new AbortController();
  const announcement = new Speaker({ voice: voiceOf(), media }, first.signal);
  announcement.say("one two");
  await untilWritten(media, 2 * WORD_MS);
  pass(2 * WORD_MS);
  await announcement.finished();
  const reply = new Speaker({ voice: voiceOf(), media }, new AbortController().signal);
  reply.say("three four");
  await untilWritten(media, 4 * WORD_MS);
  first.abort();
  expect(media.pendingMs).toBe(2 * WORD_MS);
  expect(announcement.heard()).toBe("one two");
});
