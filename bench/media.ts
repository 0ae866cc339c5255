/**
 * What media costs: `node bench/media.ts [--calls 50] [--seconds 4]`.
 * Parts: CPU time (user and system) of a loop over 20 ms frames, best of five, as microseconds per
 * frame and as a multiple of real time. SRTP: 160 octets, AES_CM_128_HMAC_SHA1_80.
 * Pacing: pairs of legs in this process talk over loopback in real time; lateness is when a frame
 * went out against when it was due, and CPU is this process's share of one core. Load from others
 * shows up at once: compare figures of one machine at rest.
 */
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { systemClock } from "../simulator/clock.ts";
import { decodeMulaw, encodeMulaw } from "../simulator/media/g711.ts";
import { JitterBuffer } from "../simulator/media/jitter.ts";
import { pace } from "../simulator/media/pacer.ts";
import { Resampler } from "../simulator/media/resample.ts";
import { formatRtp, parseRtp } from "../simulator/media/rtp.ts";
import { type MediaSession, openMediaSession } from "../simulator/media/session.ts";
import { SrtpContext } from "../simulator/media/srtp.ts";
import { silentTrace } from "../simulator/trace.ts";

const { values } = parseArgs({
  options: {
    calls: { type: "string", default: "50" },
    seconds: { type: "string", default: "4" },
  },
});

const FRAMES = 20_000;
const RUNS = 5;

function cpuMicroseconds(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

/** `prepare` makes fresh state for a run; what it returns is done once per frame. */
function measure(name: string, prepare: () => (frame: number) => void): void {
  const costs = Array.from({ length: RUNS }, () => {
    const work = prepare();
    return cpuMicroseconds(() => {
      for (let frame = 0; frame < FRAMES; frame++) work(frame);
    });
  });
  const perFrame = Math.min(...costs) / FRAMES;
  const timesRealTime = Math.round(20_000 / perFrame).toLocaleString("en");
  console.log(`${name.padEnd(28)} ${perFrame.toFixed(2).padStart(7)} us   ${timesRealTime} x`);
}

function context(): SrtpContext {
  return new SrtpContext({ key: new Uint8Array(30).fill(3), suite: "AES_CM_128_HMAC_SHA1_80" });
}

function packet(frame: number): Uint8Array {
  const numbers = { sequence: frame & 0xffff, timestamp: (frame * 160) >>> 0, ssrc: 1 };
  return formatRtp({ payloadType: 0, marker: false, payload: new Uint8Array(160), ...numbers });
}

function resampling(fromHz: number, toHz: number): () => () => void {
  const samples = new Int16Array(fromHz / 50).fill(1_000);
  return () => {
    const resampler = new Resampler(fromHz, toHz);
    return () => void resampler.process(samples);
  };
}

const narrow = Int16Array.from({ length: 160 }, (_, n) => 8_000 * Math.sin(n));

console.log("part, per 20 ms frame             cost   real time");
measure("mu-law there and back", () => () => void decodeMulaw(encodeMulaw(narrow)));
measure("RTP format and parse", () => (frame) => void parseRtp(packet(frame)));
measure("SRTP protect", () => {
  const sender = context();
  return (frame) => void sender.protect(packet(frame));
});
measure("SRTP unprotect", () => {
  const [sender, receiver] = [context(), context()];
  const secrets = Array.from({ length: FRAMES }, (_, frame) => sender.protect(packet(frame)));
  return (frame) => void receiver.unprotect(secrets[frame] ?? new Uint8Array(0));
});
measure("jitter buffer, put and take", () => {
  const buffer = new JitterBuffer();
  return (frame) => {
    buffer.put((frame * 160) >>> 0, narrow, frame * 20);
    buffer.take(frame * 20);
  };
});
measure("8 to 16 kHz", resampling(8_000, 16_000));
measure("16 to 8 kHz", resampling(16_000, 8_000));
measure("24 to 8 kHz", resampling(24_000, 8_000));
measure("8 to 24 kHz", resampling(8_000, 24_000));

for (const srtp of ["off", "required"] as const) await measurePacing(srtp);

async function measurePacing(srtp: "off" | "required"): Promise<void> {
  const clock = systemClock();
  await using legs = new AsyncDisposableStack();
  const calls: MediaSession[] = [];
  for (let call = 0; call < Number(values.calls); call++) {
    const options = { clock, trace: silentTrace, srtp, recordLimitMs: 0 };
    const [one, other] = [await openMediaSession(options), await openMediaSession(options)];
    legs.use(one);
    legs.use(other);
    one.accept(other.answer(one.offer()));
    calls.push(one, other);
  }
  const lateness: number[] = [];
  using _probe = pace(clock, {
    send: (atMs) => lateness.push(clock.now() - atMs),
    playOut: () => {},
  });
  const [cpu, begun] = [process.cpuUsage(), performance.now()];
  await clock.sleep(Number(values.seconds) * 1_000);
  const { user, system } = process.cpuUsage(cpu);
  const share = (user + system) / 10 / (performance.now() - begun);
  const received = calls.map((call) => call.statistics().received);
  const sum = (figure: (one: (typeof received)[number]) => number) =>
    received.reduce((total, one) => total + figure(one), 0);
  const sorted = lateness.toSorted((a, b) => a - b);
  const late = (quantile: number) => (sorted[Math.floor(sorted.length * quantile)] ?? 0).toFixed(1);
  console.log(
    `${calls.length} legs, SRTP ${srtp}: CPU ${share.toFixed(0)} % of a core, late p50 ${late(0.5)} ` +
      `p99 ${late(0.99)} max ${late(0.9999)} ms, ${sum(({ packets }) => packets)} packets, ` +
      `${sum(({ lost }) => lost)} lost, ${sum((one) => one.late)} late, ` +
      `longest gap ${Math.max(...received.map(({ longestGapMs }) => longestGapMs))} ms`,
  );
}
