import { type AudioFormat, bytesPerSample, decodeAudio, parseWavHeader } from "./audio-format.ts";
import { jsonOf, type ServiceContext, type SpeechConnection } from "./connection.ts";
import type { SpeechMessage } from "./framing.ts";
import type { EarEvent } from "./listener.ts";
import type { Ear, SpeechEngine } from "./recogniser.ts";
import { RecognitionFaults } from "./recognition-faults.ts";
import {
  type RecognitionDefaults,
  type RecognitionSettings,
  readSettings,
} from "./recognition-settings.ts";
import { RecognitionTurn, type TurnMessage } from "./recognition-turn.ts";

/** How late the service tells, beyond what the audio forces. */
export interface RecognitionDelays {
  hypothesisMs: number;
  phraseMs: number;
}

export interface RecognitionOptions extends ServiceContext {
  engine: SpeechEngine;
  defaults: RecognitionDefaults;
  delays: RecognitionDelays;
}

const WITHOUT_HEADER: AudioFormat = { encoding: "pcm", rateHz: 16_000, channels: 1 };
/** A client that pushes faster than the recogniser works is held back from here on. */
const LIMIT_AHEAD_MS = 30_000;
const RESUME_AHEAD_MS = 5000;
/** Pauses within a known sentence must not cut it, however short the segmentation silence is. */
const SHORTEST_EAR_SILENCE_MS = 500;

/** One turn with its audio. */
interface OpenTurn {
  readonly turn: RecognitionTurn;
  readonly requestId: string;
  readonly settings: RecognitionSettings;
  format: AudioFormat;
  ear?: Ear;
  carry: Buffer;
  givenMs: number;
  heardMs: number;
  heldBack: boolean;
}

/** Serves one connection to a recognition path until it closes. */
export async function serveRecognition(
  connection: SpeechConnection,
  options: RecognitionOptions,
): Promise<void> {
  const session = new RecognitionSession(connection, options);
  connection.onMessage((message) => session.receive(message));
  await connection.closed;
  await session.close();
}

class RecognitionSession {
  readonly #connection: SpeechConnection;
  readonly #options: RecognitionOptions;
  readonly #faults: RecognitionFaults;
  #context: unknown;
  #open: OpenTurn | undefined;
  #lastRequestId: string | undefined;

  constructor(connection: SpeechConnection, options: RecognitionOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#faults = new RecognitionFaults(connection);
  }

  receive(message: SpeechMessage): void {
    if (message.path === "speech.context") {
      this.#context = jsonOf(message);
      this.#settings();
    } else if (message.path === "audio") this.#receiveAudio(message);
  }

  async close(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.ear?.[Symbol.asyncDispose]();
  }

  #settings() {
    const { path, query } = this.#connection;
    return readSettings({ path, query, context: this.#context, defaults: this.#options.defaults });
  }

  #receiveAudio(message: SpeechMessage): void {
    if (message.requestId !== this.#lastRequestId) this.#start(message.requestId);
    const open = this.#open;
    if (open === undefined || open.turn.over) return;
    if (message.body.length === 0) return this.#finish(open);
    if (message.body.toString("latin1", 0, 4) !== "RIFF") return this.#give(open, message.body);
    const { format, dataAt } = parseWavHeader(message.body);
    open.format = format;
    if (message.body.length > dataAt) this.#give(open, message.body.subarray(dataAt));
  }

  #start(requestId: string): void {
    if (this.#open !== undefined) this.#release(this.#open);
    const settings = this.#settings();
    this.#lastRequestId = requestId;
    const serviceTag = this.#options.newId();
    this.#connection.send("turn.start", requestId, { context: { serviceTag } });
    const turn = new RecognitionTurn({
      settings,
      newId: this.#options.newId,
      send: (sent) => this.#send(requestId, sent),
      onOver: () => this.#release(open),
    });
    const open: OpenTurn = {
      turn,
      requestId,
      settings,
      format: WITHOUT_HEADER,
      carry: Buffer.alloc(0),
      givenMs: 0,
      heardMs: 0,
      heldBack: false,
    };
    this.#open = open;
  }

  /** Nothing more is heard in this turn: its ear may be a process that a quiet client would keep. */
  #release({ ear }: OpenTurn): void {
    this.#connection.resume();
    void ear?.[Symbol.asyncDispose]();
  }

  /** The ear opens with the first sound: connections that never send any cost nothing. */
  #give(open: OpenTurn, bytes: Buffer): void {
    const whole = open.carry.length === 0 ? bytes : Buffer.concat([open.carry, bytes]);
    const used = whole.length - (whole.length % bytesPerSample(open.format));
    open.carry = whole.subarray(used);
    const samples = decodeAudio(open.format, whole.subarray(0, used));
    open.givenMs += (samples.length * 1000) / open.format.rateHz;
    this.#faults.arrived(open.givenMs);
    if (this.#faults.deaf) return;
    try {
      open.ear ??= this.#listen(open);
      open.ear.accept(samples, open.format.rateHz);
      this.#holdBack(open);
    } catch (error) {
      this.#connection.fail(error);
    }
  }

  #listen(open: OpenTurn): Ear {
    const { segmentationSilenceMs, languages, phrases } = open.settings;
    return this.#options.engine.listen({
      languages,
      phrases,
      segmentationSilenceMs: Math.max(SHORTEST_EAR_SILENCE_MS, segmentationSilenceMs),
      onEvent: (event) => {
        this.#trace(event);
        open.turn.hear(event);
      },
      onFailure: (error) => this.#connection.fail(error),
      onProgress: (heardMs) => {
        open.turn.progress(heardMs);
        open.heardMs = heardMs;
        this.#holdBack(open);
      },
    });
  }

  /** With each sound, too: an engine that is still loading tells of no progress. */
  #holdBack(open: OpenTurn): void {
    if (open.turn.over) return;
    const aheadMs = open.givenMs - open.heardMs;
    const heldBack = aheadMs > (open.heldBack ? RESUME_AHEAD_MS : LIMIT_AHEAD_MS);
    if (heldBack && !open.heldBack) this.#connection.pause();
    if (!heldBack && open.heldBack) this.#connection.resume();
    open.heldBack = heldBack;
  }

  #trace({ type, text, startMs, endMs, confidence }: EarEvent): void {
    if (type === "discard") return;
    this.#options.trace.record(
      { type: "heard", kind: type, text, startMs, endMs, confidence },
      this.#connection.id,
    );
  }

  #finish(open: OpenTurn): void {
    const finished = open.ear?.finish() ?? Promise.resolve();
    finished.then(
      () => open.turn.finish(),
      (error) => this.#connection.fail(error),
    );
  }

  #send(requestId: string, { path, body }: TurnMessage): void {
    const { hypothesisMs, phraseMs } = this.#options.delays;
    const delayMs =
      path === "speech.hypothesis" ? hypothesisMs : path === "speech.phrase" ? phraseMs : 0;
    const over = this.#faults.deliver(requestId, { path, body }, delayMs);
    if (over) this.#open?.turn.end();
  }
}
