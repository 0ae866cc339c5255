import { expect, test } from "vitest";
import { PHRASES } from "./phrases.ts";
import { Patience } from "./realtime-patience.ts";
import { createLogger } from "./telemetry.ts";
import { until } from "./testing/call-service.ts";
import { playedLine } from "./testing/played-line.ts";
import {
  asked,
  greeted,
  type Session,
  startRealtimeWorld,
  turns,
} from "./testing/realtime-world.ts";

const WORDS = Buffer.alloc(100 * 48);

/** Patience of 1 s over a clock and a line that are moved by hand. `made`: settles when a word is. */
function waiting(made: () => Promise<void> = async () => {}) {
  const { line, media } = playedLine();
  const asides: string[] = [];
  const time = { nowMs: 0 };
  const patience = new Patience({
    config: { fillerMs: 1000 },
    media,
    voice: {
      async *speak(text) {
        asides.push(text);
        await made();
        yield { type: "audio", samples: WORDS };
      },
    },
    logger: createLogger({ logLevel: "silent" }),
    now: () => time.nowMs,
    signal: new AbortController().signal,
  });
  return { patience, line, asides, time };
}

test("a word of patience is no sign of the answer, and another one follows it", async () => {
  const { patience, line, asides, time } = waiting();
  patience.begin();
  patience.look();
  expect(asides).toEqual([]);
  time.nowMs = 1000;
  patience.look();
  await until(() => line.pendingMs === 100);
  expect(patience.look()).toBe(false);
  line.playedMs = line.writtenMs;
  time.nowMs = 4500;
  patience.look();
  expect(asides).toEqual([PHRASES.oneMoment, PHRASES.stillWorking]);
});

test("what the caller still hears of a round before is no wait", () => {
  const { patience, line, asides, time } = waiting();
  line.write(WORDS);
  patience.begin();
  time.nowMs = 1000;
  expect(patience.look()).toBe(true);
  line.playedMs = line.writtenMs;
  patience.look();
  expect(asides).toEqual([]);
});

test("an answer that comes while a word of patience is made takes its place", async () => {
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const words = [first, second];
  const { patience, line, asides, time } = waiting(async () => words.shift()?.promise);
  patience.begin();
  time.nowMs = 1000;
  patience.look();
  patience.end();
  patience.begin();
  time.nowMs = 2000;
  first.resolve();
  // One word is made at a time: with the next one begun, the first is done with.
  await until(() => {
    if (asides.length === 1) patience.look();
    return asides.length === 2;
  });
  expect(line.writtenMs).toBe(0);
});

test("a caller whose answer takes long is told to hold on, which enters no history", async () => {
  await using line = await startRealtimeWorld({ AGENT_FILLER_MS: "100" });
  const { media, session } = await greeted(line);
  const before = media.totalBytes;
  session.callerBegins();
  session.callerSays("What is my plan?");
  session.begins();
  await until(() => line.world.speech.spoken.includes(PHRASES.oneMoment));
  await until(() => media.totalBytes > before);
  session.speaks("b", "Premium.");
  session.done();
  await until(() => turns(line.world).length === 3);
  expect(turns(line.world).slice(1)).toEqual(["caller: What is my plan?", "agent: Premium."]);
});

test("a caller whose tools take long is told to hold on", async () => {
  await using line = await startRealtimeWorld({ AGENT_FILLER_MS: "100" });
  const { session } = await greeted(line);
  session.calls("look_up_customer", {});
  session.done();
  await until(() => line.world.speech.spoken.length > 0);
  expect(line.world.speech.spoken).toEqual([PHRASES.oneMoment]);
});

test.each([
  { why: "speaks on", happens: (session: Session) => session.callerBegins() },
  { why: "is answered with nothing", happens: (session: Session) => session.done() },
])("a caller who $why is not told to hold on", async ({ happens }) => {
  await using line = await startRealtimeWorld({
    AGENT_FILLER_MS: "300",
    AGENT_MAX_CALL_MS: "1000",
  });
  const { session } = await greeted(line);
  session.callerBegins();
  session.callerSays("What is my plan?");
  happens(session);
  await until(() => asked(session, PHRASES.tooLong) || line.world.speech.spoken.length > 0);
  expect(line.world.speech.spoken).toEqual([]);
});
