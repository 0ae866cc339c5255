import type { RawData, WebSocket } from "ws";
import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import { Resampler } from "../media/resample.ts";
import type { PartyTrace } from "../trace.ts";
import type { BridgeFrame } from "./audio-bridge.ts";
import { type AudioSource, BRIDGE_RATE_HZ } from "./bridge-source.ts";
import type { Call } from "./call.ts";
import { Dominance } from "./dominance.ts";
import { strike } from "./fault-strike.ts";
import type { IdSource } from "./ids.ts";
import type { Issuer } from "./issuer.ts";
import type { MediaStreamingOptions } from "./media-options.ts";
import type { Outbound } from "./outbound.ts";
import type { Policy } from "./policy.ts";
import { encodePcm, parseStreamMessage } from "./stream-message.ts";

export interface StreamContext {
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly ids: IdSource;
  readonly issuer: Issuer;
  readonly outbound: Outbound;
  readonly policy: Policy;
  readonly faults?: FaultPlan;
}

/** What became of a socket: it ended in good order, or broke. */
export type StreamEnd = { readonly code: number; readonly why: string };

export interface StreamStatistics {
  readonly framesSent: number;
  readonly framesDropped: number;
  readonly messagesReceived: number;
  readonly invalidMessages: number;
  readonly stopAudioCount: number;
  /** Application audio dropped because too much was queued. */
  readonly overflowMs: number;
}

/** Unmixed streams carry at most this many speakers (Microsoft: "Audio streaming overview"). */
const DOMINANT_SPEAKERS = 4;

/**
 * One media WebSocket, with ACS as the client: caller audio out every 20 ms as it comes from the
 * leg, application audio in to the call's play-out queue, `StopAudio` emptying it at once.
 * Faults: `acs.ignore-stop-audio`; `acs.drop-media-socket`, `acs.freeze-media-socket` and
 * `acs.skip-media-frame`, for which every frame is an occasion.
 */
export class MediaStream {
  readonly #call: Call;
  readonly #options: MediaStreamingOptions;
  readonly #context: StreamContext;
  readonly #resamplers = new Map<string, Resampler>();
  readonly #dominance = new Dominance(DOMINANT_SPEAKERS);
  readonly #stops: (() => void)[] = [];
  readonly #ended = Promise.withResolvers<StreamEnd>();
  #socket: WebSocket | undefined;
  #source: AudioSource | undefined;
  #isClosing = false;
  #wasOpen = false;
  #overflowMs = 0;
  #deafReported = false;
  #framesSent = 0;
  #framesDropped = 0;
  #messagesReceived = 0;
  #invalidMessages = 0;
  #stopAudioCount = 0;

  constructor(call: Call, options: MediaStreamingOptions, context: StreamContext) {
    this.#call = call;
    this.#options = options;
    this.#context = context;
  }

  /** Resolves once the socket is gone, with its close code (1006 when it broke). */
  get ended(): Promise<StreamEnd> {
    return this.#ended.promise;
  }

  /** True after {@link close}: the end is no failure. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  get statistics(): StreamStatistics {
    return {
      framesSent: this.#framesSent,
      framesDropped: this.#framesDropped,
      messagesReceived: this.#messagesReceived,
      invalidMessages: this.#invalidMessages,
      stopAudioCount: this.#stopAudioCount,
      overflowMs: this.#overflowMs + (this.#source?.overflowMs ?? 0),
    };
  }

  /** Dials; resolves when AudioMetadata went out, rejects when the server did not accept. */
  async open(): Promise<void> {
    const { issuer, outbound } = this.#context;
    const headers = {
      "x-ms-call-connection-id": this.#call.id,
      "x-ms-call-correlation-id": this.#call.conversation.correlationId,
      ...(await issuer.authorization()),
    };
    if (this.#isClosing) throw new Error("the call ended before the media socket opened");
    const socket = outbound.webSocket(this.#options.transportUrl, headers);
    this.#socket = socket;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // At once, and not when the promise comes round: audio can follow in the same packet.
    socket.on("open", () => {
      this.#begin(socket);
      resolve();
    });
    socket.on("error", (error) => {
      this.#fault("ACS_MEDIA_SOCKET", error.message);
      reject(error);
    });
    socket.on("message", (data, isBinary) => this.#receive(data, isBinary));
    socket.on("close", (code, reason) => {
      reject(new Error(`the media socket closed with ${code} before it opened`));
      this.#finish({ code, why: reason.toString() });
    });
    await promise;
  }

  /** Closes in good order; safe to repeat. */
  close(code = 1000, reason = "call ended"): void {
    this.#isClosing = true;
    this.#release();
    if (this.#socket === undefined) this.#finish({ code, why: reason });
    this.#socket?.close(code, reason);
    // A server that never answers the close frame must not keep the call alive.
    const socket = this.#socket;
    const timer = this.#context.clock.after(2000, () => socket?.terminate());
    void this.ended.then(() => timer.cancel());
  }

  #begin(socket: WebSocket): void {
    const { ids } = this.#context;
    const { rateHz, isUnmixed, isBidirectional, sendsDigits } = this.#options;
    const { bridge } = this.#call.conversation;
    this.#record("open", { url: this.#options.transportUrl, rateHz, isUnmixed, isBidirectional });
    const audioMetadata = {
      subscriptionId: ids.guid(),
      encoding: "PCM",
      sampleRate: rateHz,
      channels: 1,
      length: (rateHz / 1000) * 40,
    };
    socket.send(JSON.stringify({ kind: "AudioMetadata", audioMetadata }));
    this.#wasOpen = true;
    this.#measure("started", { rateHz, isUnmixed, isBidirectional });
    this.#record("AudioMetadata", audioMetadata);
    if (isBidirectional) this.#source = bridge.open(undefined, this.#call.options.bot.rawId);
    const heard = (frame: BridgeFrame) => this.#sendFrame(socket, frame);
    this.#stops.push(
      isUnmixed
        ? bridge.onEach(heard)
        : bridge.onMixed(heard, (source) => source !== this.#source && source.rawId !== undefined),
    );
    this.#stops.push(bridge.onLeave((rawId) => this.#forget(rawId)));
    if (sendsDigits)
      this.#stops.push(bridge.onDigit((_rawId, digit) => this.#sendDigit(socket, digit)));
  }

  #sendFrame(socket: WebSocket, frame: BridgeFrame): void {
    const { policy, clock } = this.#context;
    if (socket.readyState !== socket.OPEN) return;
    if (strike(this.#context, "acs.skip-media-frame", { call: this.#call.id }) !== undefined)
      return;
    const speaker = frame.rawId ?? "";
    const samples = this.#resample(speaker, frame.samples);
    if (!this.#dominance.hear(speaker, frame.samples)) return;
    if (socket.bufferedAmount > policy.socketBacklogBytes) {
      this.#framesDropped++;
      return;
    }
    const timestamp = clock.date().toISOString();
    const who = frame.rawId === undefined ? "" : `"participantRawID":${JSON.stringify(speaker)},`;
    const silent = policy.markSilence && frame.samples.every((sample) => sample === 0);
    socket.send(
      `{"kind":"AudioData","audioData":{"timestamp":"${timestamp}",${who}"data":"${encodePcm(samples)}","silent":${silent}}}`,
    );
    this.#framesSent++;
    this.#maybeBreak(socket);
  }

  #forget(speaker: string): void {
    this.#dominance.forget(speaker);
    this.#resamplers.delete(speaker);
  }

  #resample(speaker: string, samples: Int16Array): Int16Array {
    let resampler = this.#resamplers.get(speaker);
    if (resampler === undefined) {
      resampler = new Resampler(BRIDGE_RATE_HZ, this.#options.rateHz);
      this.#resamplers.set(speaker, resampler);
    }
    return resampler.process(samples);
  }

  #maybeBreak(socket: WebSocket): void {
    const on = { call: this.#call.id };
    if (strike(this.#context, "acs.drop-media-socket", on) !== undefined) socket.terminate();
    if (strike(this.#context, "acs.freeze-media-socket", on) === undefined) return;
    // What is not read is not answered either, a ping for example.
    socket.pause();
    this.#release();
  }

  #sendDigit(socket: WebSocket, digit: string): void {
    if (socket.readyState !== socket.OPEN) return;
    socket.send(JSON.stringify({ kind: "DtmfData", dtmfData: { data: digit } }));
    this.#record("DtmfData", { data: digit });
  }

  #receive(data: RawData, isBinary: boolean): void {
    this.#messagesReceived++;
    const text = isBinary || !Buffer.isBuffer(data) ? "" : data.toString();
    const message = parseStreamMessage(text);
    switch (message.kind) {
      case "audio":
        return this.#play(message.samples);
      case "stop":
        return this.#stopAudio();
      case "unknown":
        return this.#fault("ACS_MEDIA_MESSAGE", `kind "${message.name}" is not known; ignored`);
      case "invalid":
        return this.#refuse(message.why, text);
    }
  }

  #play(samples: Int16Array): void {
    if (this.#source !== undefined) return this.#source.write(samples, this.#options.rateHz);
    if (this.#deafReported) return;
    this.#deafReported = true;
    this.#fault("ACS_MEDIA_NOT_BIDIRECTIONAL", "audio came but enableBidirectional is not set");
  }

  #stopAudio(): void {
    const { trace } = this.#context;
    this.#stopAudioCount++;
    const arrived = {
      type: "socket",
      service: "media",
      direction: "in",
      kind: "StopAudio",
    } as const;
    trace.record(arrived, this.#call.id);
    if (strike(this.#context, "acs.ignore-stop-audio", { call: this.#call.id }) !== undefined)
      return;
    const droppedMs = this.#source?.flush() ?? 0;
    trace.record({ type: "media", kind: "stopAudio", detail: { droppedMs } }, this.#call.id);
  }

  /** What no SDK sends: the stream ends with 1007 (RFC 6455 §7.4.1). */
  #refuse(why: string, text: string): void {
    this.#invalidMessages++;
    this.#fault("ACS_MEDIA_MESSAGE", `${why}: ${text.slice(0, 200)}`);
    this.#release();
    this.#socket?.close(1007, "invalid message");
  }

  #finish(end: StreamEnd): void {
    this.#release();
    this.#record("close", end);
    if (this.#wasOpen) this.#measure("stopped", { ...this.statistics });
    this.#ended.resolve(end);
  }

  #release(): void {
    for (const stop of this.#stops.splice(0)) stop();
    this.#overflowMs += this.#source?.overflowMs ?? 0;
    this.#source?.[Symbol.dispose]();
    this.#source = undefined;
  }

  #record(kind: string, detail: unknown): void {
    const { trace } = this.#context;
    trace.record(
      { type: "socket", service: "media", direction: "out", kind, detail },
      this.#call.id,
    );
  }

  #measure(kind: "started" | "stopped", detail: Record<string, unknown>): void {
    this.#context.trace.record({ type: "media", kind, detail }, this.#call.id);
  }

  #fault(code: string, message: string): void {
    this.#context.trace.record({ type: "error", code, message }, this.#call.id);
  }
}
