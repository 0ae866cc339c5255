import type { Clock, Timer } from "../clock.ts";
import { FRAME_MS, type Frame } from "../media/frame.ts";
import { Resampler } from "../media/resample.ts";
import type { PstnLeg } from "./pstn.ts";
import { SampleQueue } from "./sample-queue.ts";

/** The telephone side's rate, at which a call is mixed. */
export const BRIDGE_RATE_HZ = 8000;
const FRAME_SAMPLES = (BRIDGE_RATE_HZ * FRAME_MS) / 1000;
/**
 * Frames kept per party while mixing. Legs and mixer share one clock, so more than one waits only
 * after the process stood still: half a second of that is made up for, the rest dropped and told.
 */
const PARTY_QUEUE_FRAMES = 25;

/** 20 ms of a call, at 8 kHz. */
export interface BridgeFrame {
  readonly samples: Int16Array;
  readonly atMs: number;
  /** Set where one participant is heard alone. */
  readonly rawId?: string;
}

/** Audio put into a call by something that is no telephone: the application's stream, a prompt. */
export interface AudioSource extends Disposable {
  readonly targets: readonly string[] | undefined;
  /** The participant who speaks by it; undefined for prompts. */
  readonly rawId: string | undefined;
  write(samples: Int16Array, rateHz: number): void;
  /** Drops what is queued; returns how many ms were dropped. */
  flush(): number;
  readonly queuedMs: number;
  /** Ms not taken because the queue was full. */
  readonly overflowMs: number;
}

/** What one participant, or a prompt (no `rawId`), contributed to 20 ms of a call. */
export interface TickPart {
  readonly rawId: string | undefined;
  readonly samples: Int16Array;
}

interface Port {
  readonly rawId: string;
  readonly leg: PstnLeg;
  readonly queue: Int16Array[];
  isMuted: boolean;
  isHeld: boolean;
  stop(): void;
}

export interface AudioBridgeOptions {
  readonly clock: Clock;
  /** Longest audio a source may have waiting. */
  readonly limitMs: number;
  /** Told of every loss: nothing is dropped in silence. */
  readonly onDrop?:
    | ((where: "party queue" | "play-out queue", droppedMs: number) => void)
    | undefined;
}

interface MixedListener {
  readonly hears: (source: AudioSource) => boolean;
  readonly listener: (frame: BridgeFrame) => void;
}

/**
 * Joins the legs of one call with each other and with the application. With one leg and one source
 * audio is passed straight through, so that nothing adds delay or jitter; otherwise everybody hears
 * the sum of the others, mixed every 20 ms.
 */
export class AudioBridge implements Disposable {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #onDrop: NonNullable<AudioBridgeOptions["onDrop"]>;
  readonly #ports = new Map<string, Port>();
  readonly #sources = new Set<BridgeSource>();
  readonly #mixed = new Set<MixedListener>();
  readonly #each = new Set<(frame: BridgeFrame & { rawId: string }) => void>();
  readonly #digits = new Set<(rawId: string, digit: string) => void>();
  readonly #ticks = new Set<(parts: readonly TickPart[]) => void>();
  #ticker: Timer | undefined;

  constructor(options: AudioBridgeOptions) {
    this.#clock = options.clock;
    this.#limitMs = options.limitMs;
    this.#onDrop = options.onDrop ?? (() => {});
  }

  attach(rawId: string, leg: PstnLeg): void {
    this.detach(rawId);
    const stops = [
      leg.onFrame((frame) => this.#accept(port, frame)),
      leg.onDigit((digit) => {
        for (const listener of this.#digits) listener(rawId, digit);
      }),
    ];
    const stop = () => {
      for (const end of stops) end();
    };
    const port: Port = { rawId, leg, queue: [], isMuted: false, isHeld: false, stop };
    this.#ports.set(rawId, port);
    this.#chooseMode();
  }

  detach(rawId: string): void {
    this.#ports.get(rawId)?.stop();
    this.#ports.delete(rawId);
    this.#chooseMode();
  }

  /**
   * Opens a source heard by all legs, or by `targets` only; `owner` is the participant who speaks by
   * it, where it is one. Close it when it has ended.
   */
  open(targets?: readonly string[], owner?: string): AudioSource {
    const source = new BridgeSource({
      targets,
      owner,
      limitMs: this.#limitMs,
      onDrop: (droppedMs) => this.#onDrop("play-out queue", droppedMs),
      direct: () => this.#directLeg(source),
      legs: () => this.#legsOf(source),
      close: () => {
        this.#sources.delete(source);
        this.#chooseMode();
      },
    });
    this.#sources.add(source);
    this.#chooseMode();
    return source;
  }

  /** The sum of all participants who may be heard, and of the sources `hears` picks (default none). */
  onMixed(
    listener: (frame: BridgeFrame) => void,
    hears: (source: AudioSource) => boolean = () => false,
  ): () => void {
    const entry = { listener, hears };
    this.#mixed.add(entry);
    return () => void this.#mixed.delete(entry);
  }

  /** Each participant alone. */
  onEach(listener: (frame: BridgeFrame & { rawId: string }) => void): () => void {
    this.#each.add(listener);
    return () => void this.#each.delete(listener);
  }

  /** Every contribution, 20 ms at a time: what a recording keeps. Makes the bridge mix. */
  onTick(listener: (parts: readonly TickPart[]) => void): () => void {
    this.#ticks.add(listener);
    this.#chooseMode();
    return () => {
      this.#ticks.delete(listener);
      this.#chooseMode();
    };
  }

  onDigit(listener: (rawId: string, digit: string) => void): () => void {
    this.#digits.add(listener);
    return () => void this.#digits.delete(listener);
  }

  /** A muted participant is heard by nobody; one on hold hears only what is played to it alone. */
  set(rawId: string, state: { isMuted?: boolean; isHeld?: boolean }): void {
    const port = this.#ports.get(rawId);
    if (port === undefined) return;
    port.isMuted = state.isMuted ?? port.isMuted;
    port.isHeld = state.isHeld ?? port.isHeld;
    this.#chooseMode();
  }

  [Symbol.dispose](): void {
    for (const rawId of this.#ports.keys()) this.detach(rawId);
    this.#sources.clear();
    this.#ticks.clear();
    this.#ticker?.cancel();
    this.#ticker = undefined;
  }

  get #isMixing(): boolean {
    return this.#ports.size > 1 || this.#sources.size > 1 || this.#ticks.size > 0;
  }

  #chooseMode(): void {
    if (this.#isMixing) {
      this.#ticker ??= this.#clock.every(FRAME_MS, () => this.#tick());
      return;
    }
    this.#ticker?.cancel();
    this.#ticker = undefined;
    for (const source of this.#sources) source.release();
  }

  #directLeg(source: BridgeSource): PstnLeg | undefined {
    const [port] = this.#ports.values();
    if (port === undefined || this.#isMixing) return undefined;
    return reaches(source, port) ? port.leg : undefined;
  }

  #legsOf(source: BridgeSource): PstnLeg[] {
    return [...this.#ports.values()].filter((port) => reaches(source, port)).map(({ leg }) => leg);
  }

  #accept(port: Port, frame: Frame): void {
    const isSilenced = port.isMuted || port.isHeld;
    const samples = isSilenced ? new Int16Array(frame.samples.length) : frame.samples;
    const heard = { samples, atMs: frame.atMs, rawId: port.rawId };
    for (const listener of this.#each) listener(heard);
    if (this.#isMixing) {
      port.queue.push(samples);
      if (port.queue.length > PARTY_QUEUE_FRAMES && port.queue.shift() !== undefined) {
        this.#onDrop("party queue", FRAME_MS);
      }
      return;
    }
    for (const { listener } of this.#mixed) listener({ samples, atMs: frame.atMs });
  }

  #tick(): void {
    const spoken = new Map<Port | BridgeSource, Int16Array>();
    for (const port of this.#ports.values()) {
      const samples = port.queue.shift();
      if (samples !== undefined) spoken.set(port, samples);
    }
    for (const source of this.#sources) {
      const samples = source.shift();
      if (samples.length > 0) spoken.set(source, samples);
    }
    for (const port of this.#ports.values()) this.#speakTo(port, spoken);
    const parts = [...spoken].map(([{ rawId }, samples]) => ({ rawId, samples }));
    for (const listener of this.#ticks) listener(parts);
    const atMs = this.#clock.now();
    for (const { listener, hears } of this.#mixed) {
      const heard = [...spoken].filter(([from]) => !(from instanceof BridgeSource) || hears(from));
      listener({ samples: sum(heard.map(([, samples]) => samples)), atMs });
    }
  }

  #speakTo(port: Port, spoken: ReadonlyMap<Port | BridgeSource, Int16Array>): void {
    const heard = [...spoken].filter(([from]) =>
      from instanceof BridgeSource ? reaches(from, port) : from !== port && !port.isHeld,
    );
    if (heard.length > 0) port.leg.write(sum(heard.map(([, samples]) => samples)), BRIDGE_RATE_HZ);
  }
}

interface SourceOptions {
  readonly targets: readonly string[] | undefined;
  readonly owner: string | undefined;
  readonly limitMs: number;
  readonly onDrop: (droppedMs: number) => void;
  readonly direct: () => PstnLeg | undefined;
  readonly legs: () => PstnLeg[];
  readonly close: () => void;
}

class BridgeSource implements AudioSource {
  readonly targets: readonly string[] | undefined;
  readonly rawId: string | undefined;
  readonly #options: SourceOptions;
  readonly #queue = new SampleQueue();
  #isFlowing = false;
  #lastLength = 0;
  #resampler: Resampler | undefined;
  #rateHz = BRIDGE_RATE_HZ;
  #overflowMs = 0;

  constructor(options: SourceOptions) {
    this.targets = options.targets;
    this.rawId = options.owner;
    this.#options = options;
  }

  get overflowMs(): number {
    return this.#overflowMs;
  }

  get queuedMs(): number {
    const legs = this.#options.legs().map((leg) => leg.queuedMs);
    return (this.#queue.length * 1000) / BRIDGE_RATE_HZ + Math.max(0, ...legs);
  }

  write(samples: Int16Array, rateHz: number): void {
    const durationMs = (samples.length * 1000) / rateHz;
    if (this.queuedMs + durationMs > this.#options.limitMs) {
      this.#overflowMs += durationMs;
      this.#options.onDrop(durationMs);
      return;
    }
    const leg = this.#options.direct();
    if (leg !== undefined) leg.write(samples, rateHz);
    else this.#queue.push(this.#resample(samples, rateHz));
  }

  /** The next frame for the mixer; nothing while it waits for more. */
  shift(): Int16Array {
    this.#isFlowing = this.#isFlowing ? this.#goesOn() : this.#begins();
    this.#lastLength = this.#isFlowing ? -1 : this.#queue.length;
    return this.#queue.shift(this.#isFlowing ? FRAME_SAMPLES : 0);
  }

  /** A writer in step with the clock may be this late; less is only played when no more comes. */
  #begins(): boolean {
    const { length } = this.#queue;
    return length >= 2 * FRAME_SAMPLES || (length > 0 && length === this.#lastLength);
  }

  /** Part of a frame waits for its rest, so that no gap is cut into the middle of a word. */
  #goesOn(): boolean {
    return this.#queue.length >= FRAME_SAMPLES;
  }

  flush(): number {
    const queuedMs = (this.#queue.clear() * 1000) / BRIDGE_RATE_HZ;
    // While mixing a leg holds a frame or two of everybody; more is ours, from before mixing began.
    const isMixing = this.#options.direct() === undefined;
    const legs = this.#options.legs().filter((leg) => !isMixing || leg.queuedMs > 4 * FRAME_MS);
    return queuedMs + Math.max(0, ...legs.map((leg) => leg.flush()));
  }

  /** Hands over what waited for the mixer, once it is no longer needed. */
  release(): void {
    const leg = this.#options.direct();
    if (leg === undefined || this.#queue.length === 0) return;
    leg.write(this.#queue.shift(this.#queue.length), BRIDGE_RATE_HZ);
  }

  [Symbol.dispose](): void {
    this.#options.close();
  }

  #resample(samples: Int16Array, rateHz: number): Int16Array {
    if (rateHz === BRIDGE_RATE_HZ) return samples;
    if (this.#resampler === undefined || rateHz !== this.#rateHz) {
      this.#resampler = new Resampler(rateHz, BRIDGE_RATE_HZ);
      this.#rateHz = rateHz;
    }
    return this.#resampler.process(samples);
  }
}

/** A held leg hears only what is meant for it by name. */
function reaches(source: BridgeSource, port: Port): boolean {
  return source.targets === undefined ? !port.isHeld : source.targets.includes(port.rawId);
}

/** Saturating sum, one frame long. */
export function sum(frames: readonly Int16Array[]): Int16Array {
  const [only] = frames;
  if (frames.length === 1 && only?.length === FRAME_SAMPLES) return only;
  const total = new Int16Array(FRAME_SAMPLES);
  for (let index = 0; index < FRAME_SAMPLES; index++) {
    let value = 0;
    for (const frame of frames) value += frame[index] ?? 0;
    total[index] = Math.max(-32_768, Math.min(32_767, value));
  }
  return total;
}
