import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as sdk from "microsoft-cognitiveservices-speech-sdk";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { WebSocketServer } from "ws";
import { systemClock } from "../clock.ts";
import { openTrace, type Trace } from "../trace.ts";
import { type EngineOptions, startEngine } from "./engine.ts";
import { type EarEvent, type Recogniser, startRecogniser } from "./recogniser.ts";
import { startSpeech } from "./server.ts";
import { type Synthesiser, startSynthesiser } from "./synthesiser.ts";

const clock = systemClock();
let synthesiser: Synthesiser;
let recogniser: Recogniser;

beforeAll(async () => {
  [synthesiser, recogniser] = await Promise.all([startSynthesiser(), startRecogniser()]);
});
afterAll(async () => {
  await synthesiser[Symbol.asyncDispose]();
  await recogniser[Symbol.asyncDispose]();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "linecheck-engine-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

/** A program in a process of its own that understands how long it was spoken to. */
const COUNTING = `
import { existsSync, writeFileSync } from "node:fs";
const { env, stdin, argv } = process;
const tell = (message) => console.log(JSON.stringify(message));
const crashAt = Number(argv[2] ?? Infinity);
const marker = argv[3];
let bytes = 0, said = 0;
for await (const part of stdin) {
  bytes += part.length;
  if (bytes >= crashAt && (marker === undefined || !existsSync(marker))) {
    if (marker !== undefined) writeFileSync(marker, "");
    console.error("out of memory");
    process.exit(3);
  }
  for (; bytes - said >= 16_000; said += 16_000) {
    const startMs = said / 32;
    tell({ type: "hypothesis", text: "half", startMs, endMs: startMs + 250 });
    tell({ type: "final", text: "Half a second.", startMs, endMs: startMs + 400, confidence: 0.8,
      words: [{ text: "Half", startMs, durationMs: 200 }] });
  }
}
if (bytes > 0) {
  const { LINECHECK_RATE_HZ: rate, LINECHECK_LANGUAGES: languages, LINECHECK_PHRASES: phrases } = env;
  tell({ type: "final", text: [bytes, rate, languages, phrases, env.LINECHECK_SILENCE_MS].join(" ") });
}
`;

function counting(...args: readonly (string | number)[]): string {
  const file = join(folder(), "engine.mjs");
  writeFileSync(file, COUNTING);
  return `${process.execPath} ${file} ${args.join(" ")}`;
}

async function start(address: string, limits: EngineOptions["limits"] = {}) {
  const engine = await startEngine({ clock, address, limits });
  onTestFinished(() => engine[Symbol.asyncDispose]());
  return engine;
}

/** A speech service that recognises with that engine. */
async function serve(address: string) {
  const trace = openTrace({ clock });
  const engine = await start(address);
  const log = trace.as("speech");
  const speech = await startSpeech({
    clock,
    trace: log,
    synthesiser,
    recogniser,
    engine,
    keys: ["k"],
  });
  onTestFinished(() => speech[Symbol.asyncDispose]());
  const settings = sdk.SpeechConfig.fromHost(new URL(speech.url), "k");
  settings.setProperty(sdk.PropertyId.SpeechServiceConnection_RecognitionEndpointVersion, "2");
  settings.setProperty("SPEECH-TransmitLengthBeforThrottleMs", "1000000000");
  settings.setProperty("Recognizer_StopTimeoutMs", "1000");
  return { trace, settings };
}

interface Outcome {
  readonly hypotheses: string[];
  readonly results: sdk.SpeechRecognitionResult[];
  canceled?: sdk.SpeechRecognitionCanceledEventArgs;
}

async function recognise(
  settings: sdk.SpeechConfig,
  samples: Int16Array,
  {
    prepare = () => {},
    live,
  }: { prepare?: (recognizer: sdk.SpeechRecognizer) => void; live?: Trace } = {},
): Promise<Outcome> {
  const stream = sdk.AudioInputStream.createPushStream();
  const recognizer = new sdk.SpeechRecognizer(settings, sdk.AudioConfig.fromStreamInput(stream));
  prepare(recognizer);
  const outcome: Outcome = { hypotheses: [], results: [] };
  const over = Promise.withResolvers<void>();
  recognizer.recognizing = (_, { result }) => outcome.hypotheses.push(result.text);
  recognizer.recognized = (_, { result }) => {
    outcome.results.push(result);
    if (live === undefined || outcome.results.length > 1) return;
    silence?.cancel();
    stream.close();
  };
  recognizer.canceled = (_, event) => {
    outcome.canceled ??= event;
    over.resolve();
  };
  recognizer.startContinuousRecognitionAsync();
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  for (let at = 0; at < bytes.length; at += 3200) stream.write(bytes.slice(at, at + 3200).buffer);
  // A caller who is on the telephone: there is audio until something was understood.
  // None while a connection closes: the SDK would send, fail and replay without end.
  let closing = false;
  const stop = live?.subscribe((event) => {
    if (event.type === "error") closing = true;
    if (event.type === "socket" && event.kind === "close") closing = false;
  });
  const speak = () => closing || stream.write(new ArrayBuffer(3200));
  using silence = live === undefined ? undefined : clock.every(20, speak);
  if (live === undefined) stream.close();
  await over.promise;
  stop?.();
  await new Promise<void>((resolve) => recognizer.close(resolve, () => resolve()));
  return outcome;
}

test("a command recognises what a Speech SDK client sends", async () => {
  const { settings } = await serve(counting());
  settings.outputFormat = sdk.OutputFormat.Detailed;
  settings.requestWordLevelTimestamps();
  settings.setProperty(sdk.PropertyId.Speech_SegmentationSilenceTimeoutMs, "700");
  const { hypotheses, results, canceled } = await recognise(settings, new Int16Array(20_000), {
    prepare: (recognizer) => sdk.PhraseListGrammar.fromRecognizer(recognizer).addPhrase("Contoso"),
  });
  expect(canceled?.reason).toBe(sdk.CancellationReason.EndOfStream);
  expect(hypotheses[0]).toBe("half");
  const said = results.map(({ text }) => text).join(" ");
  expect(said).toBe('Half a second. Half a second. 40000 16000 en-US ["Contoso"] 700');
  const { NBest } = JSON.parse(results[0]?.json ?? "{}");
  expect(NBest[0]).toMatchObject({
    Confidence: 0.8,
    Words: [{ Word: "half", Offset: 0, Duration: 2_000_000 }, {}],
  });
});

test("audio of another rate is converted to the engine's", async () => {
  const engine = await start(counting());
  const { events, ear } = listen(engine);
  ear.accept(new Int16Array(8000), 8000);
  await ear.finish();
  const text = events.findLast(({ type }) => type === "phrase")?.text ?? "";
  expect(Number(text.split(" ")[0])).toBeGreaterThan(31_800);
});

function listen(engine: Awaited<ReturnType<typeof start>>) {
  const events: EarEvent[] = [];
  const failures: Error[] = [];
  const ear = engine.listen({
    onEvent: (event) => events.push(event),
    onFailure: (error) => failures.push(error),
  });
  return { events, failures, ear };
}

/** Whether there is any audio, for the shell. */
const AUDIO = '[ "$(head -c 1 | wc -c)" = 1 ]';

const second = () => new Int16Array(16_000);

test("a command that crashes is started again, and the client has lost nothing", async () => {
  const marker = join(folder(), "crashed");
  const { settings, trace } = await serve(counting(20_000, marker));
  settings.setProperty(sdk.PropertyId.Speech_SegmentationSilenceTimeoutMs, "100");
  const { results, canceled } = await recognise(settings, new Int16Array(20_000), { live: trace });
  expect(existsSync(marker)).toBe(true);
  expect(canceled?.reason).toBe(sdk.CancellationReason.EndOfStream);
  expect(results[0]).toMatchObject({ text: expect.stringMatching(/^Half a second\./), offset: 0 });
  expect(trace.events.find(({ type }) => type === "error")).toMatchObject({
    code: "ENGINE_EXITED",
    message: expect.stringMatching(/exited with code 3 before the audio ended: out of memory$/),
  });
  const closed = trace.events.find((event) => event.type === "socket" && event.kind === "close");
  expect(closed).toMatchObject({ detail: { code: 1011 } });
});

test("a command that crashes every time ends in a connection failure", async () => {
  const { settings, trace } = await serve(counting(1));
  const { canceled } = await recognise(settings, new Int16Array(20_000), { live: trace });
  expect(canceled?.errorCode).toBe(sdk.CancellationErrorCode.ConnectionFailure);
});

test.each([
  ["a command that does not exist", "no-such-recogniser-here", "exited with code 127"],
  ["a command that fails without audio", "cat; exit 4", "exited with code 4"],
  ["a socket that nobody serves", "ws://127.0.0.1:9/", "ECONNREFUSED"],
])("%s is unavailable", async (_, address, reason) => {
  await expect(startEngine({ clock, address })).rejects.toMatchObject({
    code: "ENGINE_UNAVAILABLE",
    message: expect.stringContaining(reason),
  });
});

test.each([
  ["ENGINE_PROTOCOL", "hello"],
  ["ENGINE_PROTOCOL", '{"type":"guess"}'],
  ["ENGINE_PROTOCOL", '{"type":"final"}'],
  ["ENGINE_PROTOCOL", '{"type":"final","text":"x","startMs":"soon"}'],
  ["ENGINE_REPORTED", '{"type":"error","message":"no model"}'],
])("%s: %s", async (code, line) => {
  const file = join(folder(), "line");
  writeFileSync(file, `${line}\n`);
  const engine = await start(`${AUDIO} && cat ${file}; cat > /dev/null`);
  const { ear, failures } = listen(engine);
  ear.accept(second(), 16_000);
  await expect(ear.finish()).rejects.toMatchObject({ code });
  expect(failures).toMatchObject([{ code }]);
});

test("a line without end is cut off", async () => {
  const engine = await start(`${AUDIO} && head -c 100000 /dev/zero; cat > /dev/null`);
  const { ear } = listen(engine);
  ear.accept(second(), 16_000);
  await expect(ear.finish()).rejects.toMatchObject({ code: "ENGINE_PROTOCOL" });
});

/** Ends without audio, so that it passes the trial, and does something else with audio. */
const withAudio = (what: string) => `${AUDIO} || exit 0; ${what}`;

test("an engine that takes no audio has stalled", async () => {
  const engine = await start(withAudio("sleep 100"), { stallMs: 100 });
  const { ear, failures } = listen(engine);
  // More than the system takes in its stead.
  for (const _ of Array.from({ length: 20 })) ear.accept(second(), 16_000);
  await expect(ear.finish()).rejects.toMatchObject({ code: "ENGINE_STALLED" });
  expect(failures).toHaveLength(1);
});

test("audio that waits to be taken has a limit", async () => {
  const engine = await start(withAudio("sleep 100"), { pendingMs: 3000 });
  const { ear, failures } = listen(engine);
  for (const _ of Array.from({ length: 30 })) ear.accept(second(), 16_000);
  expect(failures).toMatchObject([{ code: "ENGINE_OVERRUN" }]);
});

test("an engine that does not end after the audio is out of time", async () => {
  const engine = await start(withAudio("cat > /dev/null; sleep 100"), { finishMs: 100 });
  const { ear } = listen(engine);
  ear.accept(second(), 16_000);
  await expect(ear.finish()).rejects.toMatchObject({ code: "ENGINE_TIMEOUT" });
});

test("more streams at once than the limit are refused", async () => {
  const engine = await start("cat > /dev/null", { streams: 1 });
  const { ear } = listen(engine);
  expect(() => listen(engine)).toThrow("1 streams");
  await ear.finish();
  await ear[Symbol.asyncDispose]();
  await listen(engine).ear.finish();
});

test("disposing leaves no process, not even one that ignores the request to end or was started by it", async () => {
  const file = join(folder(), "pids");
  const stubborn = `trap '' TERM; sleep 1000 & echo $$ $! > ${file}; echo '{"type":"onset"}'; wait; sleep 1000`;
  const engine = await start(withAudio(stubborn), { killMs: 50 });
  const begun = Promise.withResolvers<void>();
  const ear = engine.listen({ onEvent: () => begun.resolve() });
  ear.accept(second(), 16_000);
  await begun.promise;
  const pids = readFileSync(file, "utf8").trim().split(" ").map(Number);
  expect(pids.map(isRunning)).toEqual([true, true]);
  await engine[Symbol.asyncDispose]();
  // Both have been killed; when the second one ends is the kernel's affair.
  await expect.poll(() => pids.map(isRunning)).toEqual([false, false]);
});

/** A process that has ended and waits to be buried does not run. */
function isRunning(pid: number): boolean {
  const file = `/proc/${pid}/stat`;
  return existsSync(file) && !/\) Z /.test(readFileSync(file, "utf8"));
}

/** A recogniser on a WebSocket that says how much it was given. */
async function startServer(): Promise<{ url: string; starts: unknown[] }> {
  const starts: unknown[] = [];
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  server.on("connection", (socket) => {
    let bytes = 0;
    socket.on("message", (data, isBinary) => {
      if (isBinary) {
        if (bytes === 0) socket.send('{"type":"hypothesis","text":"so much"}');
        bytes += (data as Buffer).length;
        return;
      }
      const message = JSON.parse((data as Buffer).toString());
      if (message.type === "start") starts.push(message);
      else {
        if (bytes > 0) socket.send(JSON.stringify({ type: "final", text: `${bytes} bytes.` }));
        socket.close(1000);
      }
    });
  });
  await new Promise<void>((resolve) => {
    server.once("listening", resolve);
  });
  onTestFinished(async () => {
    for (const client of server.clients) client.terminate();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  });
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, starts };
}

test("a WebSocket recognises what a Speech SDK client sends", async () => {
  const { url, starts } = await startServer();
  const { settings } = await serve(url);
  const { hypotheses, results } = await recognise(settings, new Int16Array(16_000));
  expect(hypotheses).toContain("so much");
  expect(results.map(({ text }) => text)).toEqual(["32000 bytes."]);
  expect(starts[1]).toEqual({
    type: "start",
    rateHz: 16_000,
    languages: ["en-US"],
    phrases: [],
    segmentationSilenceMs: 800,
  });
});

test("a WebSocket that closes early is a failure of the service", async () => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  server.on("connection", (socket) =>
    socket.on("message", (data, isBinary) => {
      if (isBinary) socket.close(1013, "busy");
      else if ((data as Buffer).includes("end")) socket.close(1000);
    }),
  );
  onTestFinished(() => server.close());
  await new Promise<void>((resolve) => {
    server.once("listening", resolve);
  });
  const engine = await start(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const { ear } = listen(engine);
  ear.accept(second(), 16_000);
  await expect(ear.finish()).rejects.toMatchObject({
    code: "ENGINE_EXITED",
    message: expect.stringContaining("closed with 1013: busy"),
  });
});

/** The example of docs/speech.md, word for word. */
function pocketsphinx(): string {
  const page = readFileSync(join(import.meta.dirname, "../../docs/speech.md"), "utf8");
  const file = join(folder(), "pocketsphinx-engine.py");
  writeFileSync(file, /```python\n([\s\S]*?)```/.exec(page)?.[1] ?? "");
  return `/usr/bin/python3 ${file}`;
}

const hasPocketsphinx =
  existsSync("/usr/share/pocketsphinx/model/en-us/en-us.lm.bin") &&
  spawnSync("/usr/bin/python3", ["-c", "import pocketsphinx"]).status === 0;

test.skipIf(!hasPocketsphinx)(
  "a real recogniser understands a voice it was never taught",
  async () => {
    const { settings } = await serve(pocketsphinx());
    const { samples } = await synthesiser.synthesise({ text: "Please give me a person." });
    const audio = new Int16Array(16_000 + samples.length + 24_000);
    audio.set(samples, 16_000);
    const { results, hypotheses } = await recognise(settings, audio);
    expect(results[0]?.text).toContain("person");
    expect(hypotheses.length).toBeGreaterThan(0);
  },
);
