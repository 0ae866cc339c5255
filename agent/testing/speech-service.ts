import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { type RawData, type WebSocket, WebSocketServer } from "ws";

/** One word of the stand-in's speech is this long, and this many samples. */
export const WORD_MS = 10;

export interface SpeechServiceOptions {
  /** Status to refuse upgrades with; undefined accepts. May change while running. */
  refuseRecognition?: number | undefined;
  refuseSynthesis?: number | undefined;
  /** Words of an utterance after which its connection is cut. */
  cutSynthesisAfterWords?: number | undefined;
  /** Takes the end of the audio and never answers. */
  endlessRecognition?: boolean;
  /** Takes the text and never answers. */
  silentSynthesis?: boolean;
  rateHz?: number;
}

/** A recognition connection, driven by the test. */
interface Recognition {
  readonly url: URL;
  /** Bytes of audio received, WAV header excluded. */
  readonly audioBytes: number;
  readonly context: string;
  onset(): void;
  hypothesis(text: string): void;
  phrase(text: string): void;
  noMatch(): void;
  drop(code: number): void;
}

/**
 * The speech service as the SDK's wire sees it (universal protocol v2 over WebSocket): enough to
 * recognise what a test says was said, and to synthesise a tone per word with word boundaries.
 */
export interface SpeechService extends AsyncDisposable {
  readonly url: string;
  readonly options: SpeechServiceOptions;
  readonly recognitions: readonly Recognition[];
  /** Texts asked for, in order; SSML markup removed. */
  readonly spoken: readonly string[];
  /** Output formats and voices asked for, one per synthesis. */
  readonly formats: readonly string[];
  readonly voices: readonly string[];
  /** Open sockets, both directions, and how many there have been. */
  readonly connections: number;
  readonly opened: number;
  recognition(): Promise<Recognition>;
}

export async function startSpeechService(
  options: SpeechServiceOptions = {},
): Promise<SpeechService> {
  const recognitions: ReturnType<typeof recognitionOn>[] = [];
  const log = { spoken: [] as string[], formats: [] as string[], voices: [] as string[] };
  const sockets = new WebSocketServer({ noServer: true });
  let opened = 0;
  const server = createServer((_request, response) => response.writeHead(404).end());
  server.on("upgrade", (request, socket, head) => {
    const synthesis = request.url?.includes("/tts/") ?? false;
    const refused = synthesis ? options.refuseSynthesis : options.refuseRecognition;
    if (refused !== undefined) {
      socket.end(`HTTP/1.1 ${refused} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (accepted) => {
      opened += 1;
      if (synthesis) synthesiseOn(accepted, options, log);
      else recognitions.push(recognitionOn(accepted, request, options));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    options,
    recognitions,
    ...log,
    get connections() {
      return sockets.clients.size;
    },
    get opened() {
      return opened;
    },
    recognition: () => newestWithAudio(recognitions),
    [Symbol.asyncDispose]: async () => {
      for (const client of sockets.clients) client.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** A recogniser connects before there is audio; a test speaks to the one that hears the call. */
async function newestWithAudio(recognitions: readonly Recognition[]): Promise<Recognition> {
  for (;;) {
    const newest = recognitions.at(-1);
    if (newest !== undefined && newest.audioBytes > 0) return newest;
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
}

interface Message {
  readonly path: string;
  readonly requestId: string;
  readonly text: string;
  readonly bytes: Buffer;
}

function parse(data: RawData, isBinary: boolean): Message {
  const raw = Buffer.isBuffer(data)
    ? data
    : Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)]);
  const headerEnd = isBinary ? 2 + raw.readUInt16BE(0) : raw.indexOf("\r\n\r\n");
  const head = raw.subarray(isBinary ? 2 : 0, headerEnd).toString("latin1");
  const header = (name: string) =>
    new RegExp(`^${name}:\\s*(.*?)\\r?$`, "im").exec(head)?.[1] ?? "";
  const bytes = raw.subarray(isBinary ? headerEnd : headerEnd + 4);
  return {
    path: header("Path").toLowerCase(),
    requestId: header("X-RequestId"),
    text: isBinary ? "" : bytes.toString("utf8"),
    bytes,
  };
}

function send(socket: WebSocket, path: string, requestId: string, body: object): void {
  if (socket.readyState !== socket.OPEN) return;
  const head = `X-RequestId: ${requestId}\r\nContent-Type: application/json; charset=utf-8\r\nPath: ${path}`;
  socket.send(`${head}\r\n\r\n${JSON.stringify(body)}`);
}

function recognitionOn(
  socket: WebSocket,
  request: IncomingMessage,
  options: SpeechServiceOptions,
): Recognition {
  let requestId = "";
  let context = "";
  let started = false;
  let audioBytes = 0;
  const at = () => ({ Offset: audioBytes * 312.5, Duration: 1_000_000 });
  const reply = (path: string, body: object) => send(socket, path, requestId, body);
  socket.on("message", (data, isBinary) => {
    const message = parse(data, isBinary);
    if (message.path === "speech.context") {
      requestId = message.requestId;
      context = message.text;
      started = false;
    }
    if (message.path !== "audio") return;
    if (message.bytes.length === 0) {
      if (!options.endlessRecognition) reply("turn.end", {});
      return;
    }
    if (!started) reply("turn.start", { context: { serviceTag: "test" } });
    if (started) audioBytes += message.bytes.length;
    started = true;
  });
  return {
    url: new URL(request.url ?? "/", "http://speech"),
    get audioBytes() {
      return audioBytes;
    },
    get context() {
      return context;
    },
    onset: () => reply("speech.startDetected", at()),
    hypothesis: (text) => reply("speech.hypothesis", { Text: text, ...at() }),
    phrase: (text) => {
      reply("speech.phrase", { RecognitionStatus: "Success", DisplayText: text, ...at() });
      reply("speech.endDetected", at());
    },
    noMatch: () =>
      reply("speech.phrase", { RecognitionStatus: "NoMatch", DisplayText: "", ...at() }),
    drop: (code) => socket.close(code, "dropped by the test"),
  };
}

interface Log {
  readonly spoken: string[];
  readonly formats: string[];
  readonly voices: string[];
}

function synthesiseOn(socket: WebSocket, options: SpeechServiceOptions, log: Log): void {
  let rateHz = 16_000;
  socket.on("message", (data, isBinary) => {
    const { path, requestId, text } = parse(data, isBinary);
    if (path === "synthesis.context") {
      const format = /"outputFormat":"([^"]+)"/.exec(text)?.[1] ?? "";
      log.formats.push(format);
      rateHz = format.includes("24khz") ? 24_000 : 16_000;
    }
    if (path !== "ssml") return;
    log.voices.push(/<voice name='([^']+)'/.exec(text)?.[1] ?? "");
    const words = unescaped(text.replaceAll(/<[^>]+>/g, "")).trim();
    log.spoken.push(words);
    if (!options.silentSynthesis) speak({ socket, requestId, rateHz, options }, words.split(/\s+/));
  });
}

interface Speech {
  readonly socket: WebSocket;
  readonly requestId: string;
  readonly rateHz: number;
  readonly options: SpeechServiceOptions;
}

function speak({ socket, requestId, rateHz, options }: Speech, words: readonly string[]): void {
  send(socket, "turn.start", requestId, { context: { serviceTag: "test" } });
  send(socket, "response", requestId, {
    context: { serviceTag: "test" },
    audio: { type: "inline", streamId: "S1" },
  });
  for (const [index, word] of words.entries()) {
    if (options.cutSynthesisAfterWords === index) return socket.terminate();
    const Data = {
      Offset: index * WORD_MS * 10_000,
      Duration: WORD_MS * 10_000,
      text: { Text: word, Length: word.length, BoundaryType: "WordBoundary" },
    };
    send(socket, "audio.metadata", requestId, { Metadata: [{ Type: "WordBoundary", Data }] });
    socket.send(audioMessage(requestId, tone((rateHz * WORD_MS) / 1000)));
  }
  const Offset = words.length * WORD_MS * 10_000;
  send(socket, "audio.metadata", requestId, {
    Metadata: [{ Type: "SessionEnd", Data: { Offset } }],
  });
  send(socket, "turn.end", requestId, {});
}

function audioMessage(requestId: string, samples: Buffer): Buffer {
  const head = Buffer.from(
    `X-RequestId: ${requestId}\r\nX-StreamId: S1\r\nPath: audio\r\n`,
    "latin1",
  );
  const length = Buffer.alloc(2);
  length.writeUInt16BE(head.length);
  return Buffer.concat([length, head, samples]);
}

function tone(samples: number): Buffer {
  return Buffer.from(Int16Array.from({ length: samples }, (_, index) => (index % 32) * 200).buffer);
}

function unescaped(text: string): string {
  return text
    .replaceAll("&apos;", "'")
    .replaceAll("&quot;", '"')
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");
}
