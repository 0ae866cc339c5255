import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { MediaStream, type MediaStreamOptions, parseStreamingMessage } from "./media-stream.ts";
import { until } from "./testing/call-service.ts";

/** 16 kHz, 16 bit: what one millisecond of audio takes. */
const BYTES_PER_MS = 32;
const audio = (durationMs: number) => new Uint8Array(durationMs * BYTES_PER_MS).fill(1);

interface Line extends AsyncDisposable {
  readonly media: MediaStream;
  readonly service: WebSocket;
  readonly received: string[];
  /** Moves the stream's clock. */
  pass(durationMs: number): void;
}

async function openLine(options: Partial<MediaStreamOptions> = {}): Promise<Line> {
  let now = 0;
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const service = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const [[socket]] = await Promise.all([once(server, "connection"), once(service, "open")]);
  const received: string[] = [];
  service.on("message", (data: Buffer) => received.push(data.toString()));
  const defaults = {
    rateHz: 16_000,
    leadMs: 1000,
    latencyMs: 0,
    graceMs: 50,
    now: () => now,
    onAudio: () => {},
  };
  const media = new MediaStream(socket, { ...defaults, ...options });
  return {
    media,
    service,
    received,
    pass: (durationMs) => {
      now += durationMs;
    },
    [Symbol.asyncDispose]: async () => {
      service.terminate();
      media.close();
      server.close();
      await once(server, "close");
    },
  };
}

const STOP = '{"kind":"stopAudio","stopAudio":{}}';

test("audio goes out as the SDK writes it", async () => {
  await using line = await openLine();
  line.media.write(new Uint8Array([1, 2, 3, 4]));
  await until(() => line.received.length === 1);
  expect(JSON.parse(line.received[0] ?? "")).toEqual({
    kind: "audioData",
    audioData: { data: "AQIDBA==", isSilent: false },
    stopAudio: {},
  });
});

test("audio is sent no further ahead than the lead", async () => {
  await using line = await openLine({ leadMs: 300 });
  line.media.write(audio(1000));
  await until(() => line.received.length === 3);
  expect(line.media.writtenMs).toBe(1000);
  line.pass(200);
  await until(() => line.received.length === 5);
});

test("what was played follows the clock", async () => {
  await using line = await openLine();
  line.media.write(audio(400));
  expect(line.media.playedMs).toBe(0);
  line.pass(150);
  expect(line.media.playedMs).toBe(150);
  line.pass(1000);
  expect(line.media.playedMs).toBe(400);
  expect(line.media.pendingMs).toBe(0);
});

test("a gap in the audio does not count as played", async () => {
  await using line = await openLine();
  line.media.write(audio(100));
  line.pass(5000);
  line.media.write(audio(200));
  line.pass(50);
  expect(line.media.playedMs).toBe(150);
});

test("audio younger than the latency has not been heard", async () => {
  await using line = await openLine({ latencyMs: 20 });
  line.media.write(audio(400));
  line.pass(110);
  expect(line.media.playedMs).toBe(90);
});

test("stopping empties both queues and tells how far the caller heard", async () => {
  await using line = await openLine({ leadMs: 300 });
  line.media.write(audio(1000));
  line.pass(120);
  expect(line.media.stop()).toBe(120);
  await until(() => line.received.includes(STOP));
  expect(line.received.indexOf(STOP)).toBe(line.received.length - 1);
  expect(line.media.pendingMs).toBe(0);
});

test("the time line continues after a stop", async () => {
  await using line = await openLine();
  line.media.write(audio(500));
  line.pass(100);
  line.media.stop();
  expect(line.media.writtenMs).toBe(100);
  line.media.write(audio(300));
  line.pass(60);
  expect(line.media.playedMs).toBe(160);
});

test("stopping silence sends nothing", async () => {
  await using line = await openLine();
  line.media.write(audio(20));
  line.pass(100);
  line.media.stop();
  line.media.write(audio(20));
  await until(() => line.received.length === 2);
  expect(line.received).not.toContain(STOP);
});

test.each([
  ['{"kind":"AudioData","audioData":{"data":"AQI=","silent":false}}'],
  ['{"kind":"audioData","audioData":{"Data":"AQI="}}'],
  ['{"Kind":"AudioData","AudioData":{"data":"AQI="},"StopAudio":null}'],
])("audio arrives whatever the casing: %s", async (message) => {
  const heard: number[][] = [];
  await using line = await openLine({ onAudio: (samples) => heard.push([...samples]) });
  line.service.send(message);
  await until(() => heard.length === 1);
  expect(heard).toEqual([[1, 2]]);
});

test("metadata is reported", async () => {
  const seen: unknown[] = [];
  await using line = await openLine({
    onMetadata: (metadata) => seen.push(metadata),
  });
  line.service.send(
    '{"kind":"AudioMetadata","audioMetadata":{"subscriptionId":"s","encoding":"PCM","sampleRate":24000,"channels":1,"length":960}}',
  );
  await until(() => seen.length === 1);
  expect(seen).toEqual([{ subscriptionId: "s", rateHz: 24_000, channels: 1 }]);
});

test.each(["", "no json", "[]", "7", '{"kind":7}', '{"audioData":{}}'])(
  "%j is no message",
  (text) => {
    expect(parseStreamingMessage(text)).toBeUndefined();
  },
);

test("nonsense on the socket changes nothing", async () => {
  const heard: Uint8Array[] = [];
  await using line = await openLine({ onAudio: (samples) => heard.push(samples) });
  line.service.send("not json");
  line.service.send('{"kind":"AudioData","audioData":null}');
  line.service.send('{"kind":"Unknown","unknown":{}}');
  line.service.send('{"kind":"AudioData","audioData":{"data":"AQI="}}');
  await until(() => heard.length > 0);
  expect(heard).toEqual([Buffer.from([1, 2])]);
});

test("waiting for the end of play-out stops when the signal aborts", async () => {
  await using line = await openLine();
  line.media.write(audio(60_000));
  const controller = new AbortController();
  const drained = line.media.drained(controller.signal);
  controller.abort(new Error("interrupted"));
  await expect(drained).rejects.toThrow("interrupted");
});

test("waiting for the end of play-out stops when the socket is gone", async () => {
  await using line = await openLine();
  line.media.write(audio(60_000));
  const drained = line.media.drained(new AbortController().signal);
  line.service.terminate();
  await drained;
  expect(line.media.open).toBe(false);
  line.media.write(audio(20));
  expect(line.media.pendingMs).toBeGreaterThanOrEqual(0);
});

test("a socket whose other end answers nothing counts as lost", async () => {
  await using line = await openLine({ pulseMs: 10 });
  line.service.pause();
  await line.media.closed;
  expect(line.media.open).toBe(false);
});

test("a socket that is silent and answers is kept", async () => {
  await using line = await openLine({ pulseMs: 10, graceMs: 0 });
  let pings = 0;
  line.service.on("ping", () => {
    pings += 1;
  });
  await until(() => pings > 3);
  expect(line.media.open).toBe(true);
});

test("a socket that was gone before the stream began counts as lost", async () => {
  await using line = await openLine();
  line.service.terminate();
  await once(line.service, "close");
  const options = { rateHz: 16_000, leadMs: 1000, latencyMs: 0, graceMs: 20 };
  const late = new MediaStream(line.service, { ...options, now: () => 0, onAudio: () => {} });
  await late.closed;
  expect(late.open).toBe(false);
});

test("a runaway writer meets a limit", async () => {
  await using line = await openLine({ leadMs: 100 });
  const writeForEver = () => {
    for (let minute = 0; minute < 10; minute += 1) line.media.write(audio(60_000));
  };
  expect(writeForEver).toThrow("300000 ms of audio wait");
});

test("a stalled process loses no sample: each is sent once, in order", async () => {
  await using line = await openLine({ leadMs: 200, now: () => performance.now() });
  const spoken = Int16Array.from({ length: 16 * 700 }, (_, index) => index);
  const bytes = new Uint8Array(spoken.buffer);
  // Pieces of odd lengths, as a synthesiser may give them; stalls longer than the lead between.
  for (let from = 0; from < bytes.length; from += 4322) {
    line.media.write(bytes.subarray(from, from + 4322));
    if (from === 4322 || from === 3 * 4322) stall(250);
  }
  await line.media.drained(new AbortController().signal);
  const received = await until(() => {
    const whole = Buffer.concat(line.received.map(audioOf));
    return whole.length >= bytes.length && whole;
  });
  expect(received.equals(Buffer.from(spoken.buffer))).toBe(true);
});

function stall(durationMs: number): void {
  const end = performance.now() + durationMs;
  while (performance.now() < end);
}

function audioOf(message: string): Buffer {
  const { kind, audioData } = JSON.parse(message);
  return Buffer.from(kind === "audioData" ? audioData.data : "", "base64");
}
