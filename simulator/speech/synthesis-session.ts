import { encodeAudio, formatWavHeader } from "./audio-format.ts";
import { type Boundary, boundariesOf } from "./boundaries.ts";
import {
  type FaultParameters,
  jsonOf,
  type ServiceContext,
  type SpeechConnection,
} from "./connection.ts";
import { formatAudio, type SpeechMessage } from "./framing.ts";
import { activeLevelDbfs } from "./level.ts";
import type { Recogniser } from "./recogniser.ts";
import { field } from "./recognition-settings.ts";
import { TICKS_PER_MS } from "./recognition-turn.ts";
import { cutSentences, splitSentences } from "./sentence.ts";
import { LIMIT_TEXT_CHARACTERS, rateOf } from "./ssml.ts";
import { readSynthesisSettings, type SynthesisSettings } from "./synthesis-settings.ts";
import type { Sentence, Synthesiser, SynthesisRequest } from "./synthesiser.ts";
import { findVoice } from "./voices.ts";

export interface SynthesisPace {
  /** Silence on the wire before the first audio, on top of what synthesis takes. */
  firstByteMs: number;
  /** How much audio one message carries. */
  chunkMs: number;
  /** Audio milliseconds per millisecond; Infinity sends as fast as it can. */
  speed: number;
}

export interface SynthesisOptions extends ServiceContext {
  synthesiser: Synthesiser;
  recogniser: Recogniser;
  pace: SynthesisPace;
}

/** Serves one connection to a synthesis path until it closes. */
export async function serveSynthesis(
  connection: SpeechConnection,
  options: SynthesisOptions,
): Promise<void> {
  const session = new SynthesisSession(connection, options);
  connection.onMessage((message) => session.receive(message));
  await connection.closed;
  session.stop();
}

class SynthesisSession {
  readonly #connection: SpeechConnection;
  readonly #options: SynthesisOptions;
  #context: unknown;
  #speaking: SpeakingTurn | undefined;

  constructor(connection: SpeechConnection, options: SynthesisOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  receive(message: SpeechMessage): void {
    switch (message.path) {
      case "synthesis.context":
        this.#context = jsonOf(message);
        this.#openStream(message.requestId);
        break;
      case "ssml":
        this.#speak(message.requestId, { ssml: message.body.toString() });
        break;
      case "text.piece":
        this.#speaking?.append(message.body.toString());
        break;
      case "text.end":
        this.#speaking?.complete();
        break;
      case "synthesis.control":
        if (field(jsonOf(message), "action") === "stop") this.stop();
        break;
    }
  }

  stop(): void {
    this.#speaking?.stop();
  }

  #openStream(requestId: string): void {
    const { streaming } = readSynthesisSettings(this.#context);
    if (streaming === undefined) return;
    const { voice, rate } = streaming;
    this.#begin(requestId, { voice, rate: rate === undefined ? 1 : rateOf(rate) });
  }

  #speak(requestId: string, request: SynthesisRequest): void {
    this.#begin(requestId, request).complete();
  }

  #begin(requestId: string, request: SynthesisRequest): SpeakingTurn {
    this.#speaking?.stop();
    const settings = readSynthesisSettings(this.#context);
    const turn = new SpeakingTurn(this.#connection, this.#options, {
      requestId,
      settings,
      request,
    });
    this.#speaking = turn;
    turn.run().catch((error) => this.#connection.refuse(error));
    return turn;
  }
}

interface SpeakingTurnOptions {
  requestId: string;
  settings: SynthesisSettings;
  /** SSML, or the voice and rate of text that arrives in pieces. */
  request: SynthesisRequest;
}

/**
 * One utterance on the wire: from `turn.start` to `turn.end`. Planned faults:
 * `speech.silent-synthesis`; `speech.slow-synthesis { firstByteMs, speed }`;
 * `speech.cut-synthesis { afterMs }` ends early; `speech.drop-synthesis { afterMs, code, reason }`
 * closes, or cuts the TCP connection; `speech.no-response` leaves out the message that announces audio.
 */
class SpeakingTurn {
  readonly #connection: SpeechConnection;
  readonly #options: SynthesisOptions;
  readonly #requestId: string;
  readonly #settings: SynthesisSettings;
  readonly #request: SynthesisRequest;
  readonly #streamId: string;
  readonly #pace: SynthesisPace;
  readonly #drop: FaultParameters | undefined;
  readonly #cut: FaultParameters | undefined;
  readonly #stopping = new AbortController();
  #text = "";
  #complete = false;
  #arrived = Promise.withResolvers<void>();
  #sentMs = 0;
  #startedAtMs = 0;

  constructor(
    connection: SpeechConnection,
    options: SynthesisOptions,
    { requestId, settings, request }: SpeakingTurnOptions,
  ) {
    this.#connection = connection;
    this.#options = options;
    this.#requestId = requestId;
    this.#settings = settings;
    this.#request = request;
    this.#streamId = options.newId();
    const slow = connection.strike("speech.slow-synthesis") ?? {};
    const { firstByteMs = options.pace.firstByteMs, speed = options.pace.speed } = slow;
    this.#pace = { ...options.pace, firstByteMs: Number(firstByteMs), speed: Number(speed) };
    this.#drop = connection.strike("speech.drop-synthesis");
    this.#cut = connection.strike("speech.cut-synthesis");
  }

  append(piece: string): void {
    if (this.#text.length + piece.length > LIMIT_TEXT_CHARACTERS) {
      throw new RangeError(`text of more than ${LIMIT_TEXT_CHARACTERS} characters`);
    }
    this.#text += piece;
    this.#wake();
  }

  complete(): void {
    this.#complete = true;
    this.#wake();
  }

  /** No more audio; the turn ends properly, with what was sent. */
  stop(): void {
    this.#stopping.abort();
    this.#wake();
  }

  async run(): Promise<void> {
    const context = { serviceTag: this.#options.newId() };
    const { ssml } = this.#request;
    const first = ssml === undefined ? undefined : await this.#synthesise(this.#request);
    this.#send("turn.start", { context });
    const audio = { type: "inline", streamId: this.#streamId };
    if (this.#connection.strike("speech.no-response") === undefined) {
      this.#send("response", { context, audio });
    }
    await this.#wait(this.#pace.firstByteMs);
    this.#startedAtMs = this.#options.clock.now();
    for await (const sentences of first === undefined ? this.#pieces() : [first]) {
      for (const sentence of sentences) await this.#deliver(sentence);
    }
    this.#end();
  }

  /** Whole sentences as they become complete; the rest when the text has ended. */
  async *#pieces(): AsyncGenerator<readonly Sentence[]> {
    while (!this.#stopping.signal.aborted) {
      const ended = this.#complete;
      const [text, rest] = ended ? [this.#text, ""] : cutSentences(this.#text);
      this.#text = rest;
      if (splitSentences(text).length > 0) {
        yield await this.#synthesise({ ...this.#request, text });
      } else if (ended) return;
      else await this.#arrived.promise;
    }
  }

  /** Every ear of the lab learns what it is about to hear. */
  async #synthesise(request: SynthesisRequest): Promise<readonly Sentence[]> {
    const { synthesiser, recogniser, trace } = this.#options;
    const utterance = await synthesiser.synthesise(request);
    const { sentences, text, voice, durationMs } = utterance;
    for (const sentence of sentences) {
      const { samples, rateHz, words } = sentence;
      const audio = { samples, rateHz };
      const language = findVoice(voice)?.locale;
      const learned = recogniser.enrol({ text: sentence.text, audio, words, language });
      learned.catch((error: Error) =>
        trace.record({ type: "error", code: "SPEECH_NOT_ENROLLED", message: error.message }),
      );
    }
    const silent = this.#connection.strike("speech.silent-synthesis") !== undefined;
    const pieces = silent ? utterance.pieces.map(silenced) : utterance.pieces;
    const levelDbfs = silent ? -120 : activeLevelDbfs(utterance.samples, utterance.rateHz);
    trace.record({ type: "spoken", text, voice, durationMs, levelDbfs }, this.#connection.id);
    return pieces;
  }

  async #deliver(sentence: Sentence): Promise<void> {
    const { chunkMs, speed } = this.#pace;
    const bytes = encodeAudio(this.#settings.format, sentence);
    const boundaries = boundariesOf(sentence, this.#sentMs, this.#settings);
    const chunkBytes = Math.max(2, Math.round((bytes.length / sentence.durationMs) * chunkMs) & ~1);
    const startMs = this.#sentMs;
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      const fromMs = startMs + (at / bytes.length) * sentence.durationMs;
      await this.#wait(this.#startedAtMs + fromMs / speed - this.#options.clock.now());
      if (this.#stopping.signal.aborted || this.#breaks(fromMs)) return;
      const untilMs = fromMs + chunkMs;
      this.#tell(takeUntil(boundaries, untilMs));
      const chunk = bytes.subarray(at, at + chunkBytes);
      this.#connection.sendRaw(
        formatAudio(this.#requestId, this.#streamId, this.#framed(chunk, at)),
      );
      this.#sentMs = startMs + Math.min(1, (at + chunkBytes) / bytes.length) * sentence.durationMs;
    }
    this.#tell(boundaries);
  }

  /** Planned: the connection drops, or the turn ends, before the audio is complete. */
  #breaks(atMs: number): boolean {
    const due = (fault: FaultParameters | undefined) => atMs >= Number(fault?.afterMs ?? 0);
    if (this.#cut !== undefined && due(this.#cut)) this.stop();
    else if (this.#drop === undefined || !due(this.#drop)) return false;
    else if (this.#drop.code === undefined) this.#connection.reset();
    else this.#connection.close(Number(this.#drop.code), String(this.#drop.reason ?? ""));
    return true;
  }

  /** A `riff-` format has its header before the first samples, with sizes that promise no end. */
  #framed(chunk: Buffer, at: number): Buffer {
    if (!this.#settings.riff || at > 0 || this.#sentMs > 0) return chunk;
    return Buffer.concat([formatWavHeader(this.#settings.format, 0), chunk]);
  }

  #tell(boundaries: readonly Boundary[]): void {
    for (const { metadata } of boundaries) this.#send("audio.metadata", { Metadata: [metadata] });
  }

  #end(): void {
    if (this.#settings.sessionEnd) {
      const Offset = Math.round(this.#sentMs * TICKS_PER_MS);
      this.#send("audio.metadata", { Metadata: [{ Type: "SessionEnd", Data: { Offset } }] });
    }
    this.#send("turn.end", {});
  }

  #send(path: string, body: unknown): void {
    this.#connection.send(path, this.#requestId, body);
  }

  async #wait(delayMs: number): Promise<void> {
    if (!(delayMs > 0)) return;
    const { signal } = this.#stopping;
    await this.#options.clock.sleep(delayMs, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  #wake(): void {
    this.#arrived.resolve();
    this.#arrived = Promise.withResolvers();
  }
}

function silenced(sentence: Sentence): Sentence {
  return { ...sentence, samples: new Int16Array(sentence.samples.length) };
}

function takeUntil(boundaries: Boundary[], untilMs: number): Boundary[] {
  const count = boundaries.findIndex(({ atMs }) => atMs >= untilMs);
  return boundaries.splice(0, count === -1 ? boundaries.length : count);
}
