/**
 * The ACS emulator under load: `node bench/acs.ts [--calls 100] [--seconds 10]`.
 * Calls are answered through the SDK by an application in a thread of its own, which gets each
 * caller's audio on a media socket and sends every frame back. The telephone side is in memory, so
 * that the figures are the emulator's. Pacing error is a frame's arrival at the application against
 * its place on an ideal 20 ms grid laid through the earliest frame of its call; event latency is
 * from the cause (a ring, a hang-up) to the webhook. The calls ring all at once; after they have
 * been hung up as many ring one after another. A third thread does nothing but look, every 5 ms,
 * how late it was woken: what the machine's other work costs, with no share of ours in it.
 */
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { CallAutomationClient } from "@azure/communication-call-automation";
import { seededIds } from "../simulator/acs/ids.ts";
import { startAcs } from "../simulator/acs/server.ts";
import { Application } from "../simulator/acs/testing/application.ts";
import { MemoryGateway, type MemoryLeg } from "../simulator/acs/testing/gateway.ts";
import { RESOURCE } from "../simulator/acs/testing/lab.ts";
import { systemClock } from "../simulator/clock.ts";
import { pace } from "../simulator/media/pacer.ts";
import { silentTrace } from "../simulator/trace.ts";

const { values } = parseArgs({
  options: {
    calls: { type: "string", default: "100" },
    seconds: { type: "string", default: "10" },
  },
});

/** Milliseconds since the epoch with a fraction, the same in every thread. */
const wallMs = () => performance.timeOrigin + performance.now();

/** Rings in turn: twenty a second. */
const RING_EVERY_MS = 50;

/** What makes the emulator post an event, and when it happened. */
interface Cause {
  readonly label: string;
  /** Type and correlation id. */
  readonly event: string;
  readonly atMs: number;
}

interface Arrivals {
  readonly frames: Record<string, number[]>;
  readonly events: Record<string, number>;
}

type ToMain = { kind: "ready"; url: string } | ({ kind: "report" } & Arrivals);
type ToWorker = { kind: "connect"; connectionString: string } | { kind: "report" };

/** The application's thread: answers every call, echoes every frame, notes when things came. */
async function runApplication(port: NonNullable<typeof parentPort>): Promise<void> {
  const application = await Application.start();
  const frames: Record<string, number[]> = {};
  const events: Record<string, number> = {};
  let client: CallAutomationClient | undefined;

  application.onMessage = (socket, headers, text) => {
    if (!text.startsWith('{"kind":"AudioData"')) return;
    (frames[String(headers["x-ms-call-correlation-id"])] ??= []).push(wallMs());
    const data = text.slice(text.indexOf('"data":"') + 8, text.lastIndexOf('","silent"'));
    socket.send(
      `{"kind":"audioData","audioData":{"data":"${data}","isSilent":false},"stopAudio":{}}`,
    );
  };
  application.onEvent = ({ type, data }) => {
    events[`${type} ${String(data["correlationId"])}`] ??= wallMs();
    if (type !== "IncomingCall" || client === undefined) return;
    void client.answerCall(String(data["incomingCallContext"]), `${application.url}/callbacks`, {
      mediaStreamingOptions: {
        transportUrl: application.socketUrl,
        transportType: "websocket",
        contentType: "audio",
        audioChannelType: "mixed",
        startMediaStreaming: true,
        enableBidirectional: true,
      },
    });
  };
  port.on("message", (message: ToWorker) => {
    if (message.kind === "connect") {
      client = new CallAutomationClient(message.connectionString, {
        allowInsecureConnection: true,
      });
    } else post({ kind: "report", frames, events });
  });
  const post = (message: ToMain) => port.postMessage(message);
  post({ kind: "ready", url: application.url });
}

/** Speaks, and tells how late an idle thread was meanwhile. */
async function speakWatched(legs: readonly MemoryLeg[], seconds: number) {
  const idle = new Worker(new URL("idle-worker.ts", import.meta.url));
  const lateness = () =>
    new Promise<number[]>((resolve) => {
      idle.once("message", resolve);
      idle.postMessage("since the last time", []);
    });
  await lateness();
  const before = { cpu: process.cpuUsage(), atMs: performance.now() };
  const spoken = await speak(legs, seconds);
  const { user, system } = process.cpuUsage(before.cpu);
  const share = (user + system) / 10 / (performance.now() - before.atMs);
  const late = await lateness();
  await idle.terminate();
  return { ...spoken, share, late };
}

/** Runs the calls; resolves with what the telephone side and the application noted. */
async function runCalls(calls: number, seconds: number) {
  const clock = systemClock();
  const worker = new Worker(new URL(import.meta.url));
  const next = <Kind extends ToMain["kind"]>(kind: Kind) =>
    new Promise<Extract<ToMain, { kind: Kind }>>((resolve) => {
      const take = (message: ToMain) => {
        if (message.kind !== kind) return;
        worker.off("message", take);
        resolve(message as Extract<ToMain, { kind: Kind }>);
      };
      worker.on("message", take);
    });
  const { url } = await next("ready");
  const pstn = new MemoryGateway();
  const trace = silentTrace;
  await using acs = await startAcs({ clock, trace, resource: RESOURCE, pstn, ids: seededIds(1) });
  const tell = (message: ToWorker) => worker.postMessage(message, []);
  tell({ kind: "connect", connectionString: acs.connectionString });
  await acs.subscribe(`${url}/events`);
  const causes: Cause[] = [];
  const ring = (label: string) => {
    const correlationId = `00000000-0000-4000-8000-${String(pstn.legs.length).padStart(12, "0")}`;
    causes.push({ label, event: `IncomingCall ${correlationId}`, atMs: wallMs() });
    return pstn.ring({ correlationId });
  };
  const legs = Array.from({ length: calls }, () => ring("IncomingCall, all rings at once"));
  const isUp = () => acs.calls.every((call) => call.subscriptions.media === "active");
  while (acs.calls.length < calls || !isUp()) await clock.sleep(50);
  const speech = await speakWatched(legs, seconds);
  for (const leg of legs) {
    const event = `CallDisconnected ${leg.correlationId}`;
    causes.push({ label: "CallDisconnected after a hang-up", event, atMs: wallMs() });
    leg.end();
    await clock.sleep(10);
  }
  await clock.sleep(500);
  for (let nth = 0; nth < calls; nth++) {
    ring(`IncomingCall, a ring every ${RING_EVERY_MS} ms`);
    await clock.sleep(RING_EVERY_MS);
  }
  await clock.sleep(500);
  tell({ kind: "report" });
  const arrivals = await next("report");
  await worker.terminate();
  return { ...speech, legs, causes, arrivals };
}

/**
 * Every leg speaks in real time, each in its own slot of the 20 ms. Resolves with the frames spoken
 * and those that came back; no audio is kept, as its garbage would be no telephone's.
 */
async function speak(legs: readonly MemoryLeg[], seconds: number) {
  const clock = systemClock();
  let returnedMs = 0;
  for (const leg of legs) {
    leg.onWritten = () => {
      returnedMs += leg.queuedMs;
      leg.flush();
      leg.written.length = 0;
    };
  }
  const tone = Int16Array.from({ length: 160 }, (_, n) => Math.round(8000 * Math.sin(n / 4)));
  const limit = seconds * 50;
  const spokenBy = legs.map(() => 0);
  const paces = legs.map((leg, n) =>
    pace(clock, {
      send: (atMs) => {
        if ((spokenBy[n] ?? 0) >= limit) return;
        spokenBy[n] = (spokenBy[n] ?? 0) + 1;
        leg.speak(tone, atMs);
      },
      playOut: () => {},
    }),
  );
  while (spokenBy.some((count) => count < limit)) await clock.sleep(50);
  await clock.sleep(500);
  for (const each of paces) each[Symbol.dispose]();
  return { spoken: spokenBy.reduce((total, count) => total + count, 0), returned: returnedMs / 20 };
}

/** Each frame's distance from the 20 ms grid through the earliest frame. */
function pacingErrors(times: readonly number[]): number[] {
  const offsets = times.map((time, frame) => time - frame * 20);
  const origin = Math.min(...offsets);
  return offsets.map((offset) => offset - origin);
}

function percentiles(figures: readonly number[]): string {
  const sorted = figures.toSorted((a, b) => a - b);
  const at = (part: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  const parts = [0.5, 0.95, 0.99, 1].map((part) => (at(part) ?? Number.NaN).toFixed(2));
  return `p50 ${parts[0]}  p95 ${parts[1]}  p99 ${parts[2]}  max ${parts[3]} ms (${sorted.length})`;
}

async function measureCalls(calls: number, seconds: number): Promise<void> {
  const { legs, spoken, returned, share, late, causes, arrivals } = await runCalls(calls, seconds);
  const heard = legs.map(({ correlationId }) => arrivals.frames[correlationId] ?? []);
  const received = heard.reduce((total, times) => total + times.length, 0);
  console.log(`${calls} calls, ${seconds} s of audio each way`);
  console.log(
    `frames: spoken ${spoken}, at the application ${received}, back at the leg ${returned}`,
  );
  const errors = heard.map(pacingErrors);
  console.log(`pacing error at the WebSocket: ${percentiles(errors.flat())}`);
  const settled = errors.flatMap((call) => call.slice(1000 / 20));
  console.log(`the same after the first second: ${percentiles(settled)}`);
  console.log(`an idle thread was woken late by: ${percentiles(late)}`);
  for (const [label, those] of Map.groupBy(causes, (cause) => cause.label)) {
    const latencies = those.map(({ event, atMs }) => (arrivals.events[event] ?? Infinity) - atMs);
    console.log(`${label}: ${percentiles(latencies)}`);
  }
  console.log(`CPU while they speak, application included: ${share.toFixed(0)} % of one core`);
}

if (!isMainThread && parentPort !== null) await runApplication(parentPort);
else await measureCalls(Number(values.calls), Number(values.seconds));
