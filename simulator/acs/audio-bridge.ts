import type { Clock, Timer } from "../clock.ts";
import { FRAME_MS, type Frame } from "../media/frame.ts";
import { type AudioSource, BRIDGE_RATE_HZ, BridgeSource, FRAME_SAMPLES } from "./bridge-source.ts";
import type { PstnLeg } from "./pstn.ts";

/**
 * Frames kept per party while mixing. Legs and mixer share one clock, so more than one waits only
 * after the process stood still: half a second of that is made up for, the rest dropped and told.
 */
const PARTY_QUEUE_FRAMES = 25;
/** While mixing a leg holds a frame or two; with more it would lag behind for the rest of the call. */
const LEG_LIMIT_MS = 4 * FRAME_MS;

/** 20 ms of a call, at 8 kHz. */
export interface BridgeFrame {
  readonly samples: Int16Array;
  readonly atMs: number;
  /** Set where one participant is heard alone. */
  readonly rawId?: string;
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
 * the sum of the others, mixed every 20 ms. What waits in the leg when mixing begins is mixed too.
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
  readonly #leavers = new Set<(rawId: string) => void>();
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
    if (this.#isMixing) this.#takeBack(port);
    this.#chooseMode();
  }

  detach(rawId: string): void {
    this.#ports.get(rawId)?.stop();
    const wasThere = this.#ports.delete(rawId);
    if (wasThere) for (const listener of this.#leavers) listener(rawId);
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

  /** Whoever is no longer heard because they left. */
  onLeave(listener: (rawId: string) => void): () => void {
    this.#leavers.add(listener);
    return () => void this.#leavers.delete(listener);
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
    return this.#ticker !== undefined;
  }

  get #hasToMix(): boolean {
    const isDirect = this.#ports.size < 2 && this.#sources.size < 2 && this.#ticks.size === 0;
    return !isDirect || this.#isUnheard;
  }

  /** A source that somebody on hold does not hear runs on, or it would all come afterwards. */
  get #isUnheard(): boolean {
    const held = [...this.#ports.values()].filter(({ isHeld }) => isHeld);
    return held.some((port) => [...this.#sources].some((source) => !reaches(source, port)));
  }

  #chooseMode(): void {
    if (this.#hasToMix) {
      if (this.#isMixing) return;
      this.#ticker = this.#clock.every(FRAME_MS, () => this.#tick());
      for (const port of this.#ports.values()) this.#takeBack(port);
      return;
    }
    this.#ticker?.cancel();
    this.#ticker = undefined;
    for (const source of this.#sources) source.release();
  }

  /** What waits in a leg goes back to the source it is from, to be mixed. */
  #takeBack({ leg }: Port): void {
    const takenMs = leg.queuedMs > LEG_LIMIT_MS ? leg.flush() : 0;
    let returnedMs = 0;
    for (const source of this.#sources) returnedMs += source.takeBack(leg, takenMs);
    const lostMs = takenMs - returnedMs; // Of sources that are closed.
    if (lostMs >= FRAME_MS) this.#onDrop("play-out queue", lostMs);
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
