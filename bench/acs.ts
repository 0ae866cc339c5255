/**
 * The ACS emulator under load: `node bench/acs.ts [--calls 100] [--seconds 10] [--hostile 10000]`.
 * Calls are answered through the SDK by an application in a thread of its own, which gets each
 * caller's audio on a media socket and sends every frame back. The telephone side is in memory, so
 * that the figures are the emulator's. Pacing error is a frame's arrival at the application against
 * its place on an ideal 20 ms grid laid through the earliest frame of its call; event latency is
 * from the cause (a ring, a hang-up) to the webhook. With --hostile so many mutated requests are
 * sent instead, and the heap is looked at before and after.
 */
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { CallAutomationClient } from "@azure/communication-call-automation";
import { seededIds } from "../simulator/acs/ids.ts";
import { startAcs } from "../simulator/acs/server.ts";
import { Application } from "../simulator/acs/testing/application.ts";
import { MemoryGateway, type MemoryLeg } from "../simulator/acs/testing/gateway.ts";
import { Mutator, sendSigned } from "../simulator/acs/testing/hostile.ts";
import { RESOURCE, startTestLab, type TestLab } from "../simulator/acs/testing/lab.ts";
import { systemClock } from "../simulator/clock.ts";
import { pace } from "../simulator/media/pacer.ts";
import { silentTrace } from "../simulator/trace.ts";

const { values } = parseArgs({
  options: {
    calls: { type: "string", default: "100" },
    seconds: { type: "string", default: "10" },
    hostile: { type: "string" },
  },
});

/** Milliseconds since the epoch with a fraction, the same in every thread. */
const wallMs = () => performance.timeOrigin + performance.now();

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
  const caused: Record<string, number> = {};
  const legs = Array.from({ length: calls }, (_, n) => {
    const correlationId = `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
    caused[`IncomingCall ${correlationId}`] = wallMs();
    return pstn.ring({ correlationId });
  });
  const isUp = () => acs.calls.every((call) => call.subscriptions.media === "active");
  while (acs.calls.length < calls || !isUp()) await clock.sleep(50);
  const spoken = await speak(legs, seconds);
  for (const leg of legs) {
    caused[`CallDisconnected ${leg.correlationId}`] = wallMs();
    leg.end();
    await clock.sleep(10);
  }
  await clock.sleep(500);
  tell({ kind: "report" });
  const arrivals = await next("report");
  await worker.terminate();
  return { legs, spoken, caused, arrivals };
}

/** Every leg speaks in real time, each in its own slot of the 20 ms; the frames spoken per leg. */
async function speak(legs: readonly MemoryLeg[], seconds: number): Promise<number[]> {
  const clock = systemClock();
  const tone = Int16Array.from({ length: 160 }, (_, n) => Math.round(8000 * Math.sin(n / 4)));
  const limit = seconds * 50;
  const spoken = legs.map(() => 0);
  const paces = legs.map((leg, n) =>
    pace(clock, {
      send: (atMs) => {
        if ((spoken[n] ?? 0) >= limit) return;
        spoken[n] = (spoken[n] ?? 0) + 1;
        leg.speak(tone, atMs);
      },
      playOut: () => {},
    }),
  );
  while (spoken.some((count) => count < limit)) await clock.sleep(50);
  await clock.sleep(500);
  for (const each of paces) each[Symbol.dispose]();
  return spoken;
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
  const before = process.cpuUsage();
  const startMs = performance.now();
  const { legs, spoken, caused, arrivals } = await runCalls(calls, seconds);
  const { user, system } = process.cpuUsage(before);
  const elapsedMs = performance.now() - startMs;
  const heard = legs.map(({ correlationId }) => arrivals.frames[correlationId] ?? []);
  const sent = spoken.reduce((total, count) => total + count, 0);
  const received = heard.reduce((total, times) => total + times.length, 0);
  const returned = legs.reduce((total, { written }) => {
    return total + written.reduce((samples, piece) => samples + piece.samples.length, 0) / 320;
  }, 0);
  const latencies = (type: string) =>
    Object.entries(caused).flatMap(([key, atMs]) => {
      const arrived = arrivals.events[key];
      return key.startsWith(type) && arrived !== undefined ? [arrived - atMs] : [];
    });
  console.log(`${calls} calls, ${seconds} s of audio each way`);
  console.log(
    `frames: spoken ${sent}, at the application ${received}, back at the leg ${returned}`,
  );
  console.log(`pacing error at the WebSocket: ${percentiles(heard.flatMap(pacingErrors))}`);
  console.log(`IncomingCall after a ring (all at once): ${percentiles(latencies("IncomingCall"))}`);
  console.log(`CallDisconnected after a hang-up: ${percentiles(latencies("CallDisconnected"))}`);
  const share = (user + system) / 10 / elapsedMs;
  console.log(`CPU, application included: ${share.toFixed(0)} % of one core`);
}

async function measureHostility(count: number): Promise<void> {
  const policy = { mediaReconnects: 0 };
  await using lab = await startTestLab({ trace: silentTrace, policy });
  const seed = 1;
  const mutator = new Mutator(seed);
  const statuses: Record<string, number> = {};
  const heapBefore = heapMebibytes();
  for (let sent = 0; sent < count; sent++) {
    const status = await sendSigned(lab, mutator.request("00000000-0000-4000-8000-0000000000aa"));
    const family = `${String(status).slice(0, 1)}xx`;
    statuses[family] = (statuses[family] ?? 0) + 1;
  }
  console.log(`${count} mutated requests, seed ${seed}: ${JSON.stringify(statuses)}`);
  const codes = await attackSockets(lab, mutator, count);
  console.log(`${count} mutated media messages: streams closed with ${JSON.stringify(codes)}`);
  console.log(`heap ${heapBefore} -> ${heapMebibytes()} MiB`);
}

/** Sends mutated frames on media sockets, a new one whenever the last was closed. */
async function attackSockets(lab: TestLab, mutator: Mutator, count: number) {
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
  });
  const { context } = await lab.ring();
  const { application } = lab;
  const { callConnection } = await client.answerCall(context, `${application.url}/callbacks`, {
    mediaStreamingOptions: {
      transportUrl: application.socketUrl,
      transportType: "websocket",
      contentType: "audio",
      audioChannelType: "mixed",
      enableBidirectional: true,
    },
  });
  await application.event("CallConnected");
  const codes: Record<string, number> = {};
  let sent = 0;
  for (let nth = 0; sent < count; nth++) {
    await callConnection.getCallMedia().startMediaStreaming();
    const stream = await application.stream(nth);
    await application.message(stream, "AudioMetadata");
    for (let frame = 0; frame < 50; frame++, sent++) stream.socket.send(mutator.frame());
    stream.socket.send("{");
    const code = await application.until(() => stream.closeCode, "close");
    codes[code] = (codes[code] ?? 0) + 1;
    await application.event("MediaStreamingFailed", nth);
  }
  return codes;
}

function heapMebibytes(): string {
  globalThis.gc?.();
  return (process.memoryUsage().heapUsed / 2 ** 20).toFixed(1);
}

if (!isMainThread && parentPort !== null) await runApplication(parentPort);
else if (values.hostile !== undefined) await measureHostility(Number(values.hostile));
else await measureCalls(Number(values.calls), Number(values.seconds));
