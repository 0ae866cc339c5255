import { FRAME_MS } from "./frame.ts";

const RATE_HZ = 8_000;
const FRAME_SAMPLES = (RATE_HZ * FRAME_MS) / 1_000;
/** Room for 2 s; a packet further ahead starts the stream anew. */
const CAPACITY_SAMPLES = 16_384;
const LIMIT_AHEAD_SAMPLES = 8_000;
/** The delay grows by this much at most (400 ms) so that late audio is played late, not dropped. */
const LIMIT_GROWTH_SAMPLES = 3_200;
/** So many packets in a row that are later still start the stream anew. */
const LATE_RUN = 5;
/** The depth is judged by its least value in two seconds or more, in silence. */
const JUDGE_FRAMES = 100;
/**
 * On a path that keeps its time the frame to be played is enough, if its packet comes this much before
 * it. One in ten may be seen later: a process that stood still reads its packets late before it plays.
 */
const RESERVE_MS = 6;
const SEEN_LATE_SHARE = 0.1;
/** Silence is 600 ms of quiet: a pause within an utterance keeps its length. */
const SILENCE_FRAMES = 30;
const QUIET_PEAK = 200;
/** A lost frame repeats the last one, this much weaker each time. */
const FADE = 0.8;
const FADE_FRAMES = 5;

/** One frame of play-out. */
export interface PlayedOut {
  readonly samples: Int16Array;
  /** Some of the samples never came. */
  readonly concealed: boolean;
}

/**
 * Clock-driven jitter buffer for 8 kHz audio: packets are laid on the time line of their RTP
 * timestamps, whatever their order and packet time; {@link take} reads 20 ms of it, at first `depthMs`
 * after the stream's first packet came. What is missing then is made up from the last frame. The
 * depth follows the path: late audio deepens it, and in silence it becomes as small as may be.
 */
export class JitterBuffer {
  readonly #depthMs: number;
  readonly #ring = new Int16Array(CAPACITY_SAMPLES);
  readonly #filled = new Uint8Array(CAPACITY_SAMPLES);
  readonly #last = new Int16Array(FRAME_SAMPLES);
  #startsAtMs: number | undefined;
  #next = 0;
  #end = 0;
  #reference = { timestamp: 0, position: 0 };
  #lateRun = 0;
  #missingRun = 0;
  #judged = 0;
  #leastDepth = Number.POSITIVE_INFINITY;
  /** How long each of the last packets waited until it was played, in milliseconds. */
  readonly #waits: number[] = [];
  #waited = 0;
  #takenAtMs: number | undefined;
  #grown = 0;
  /** What the path has shown to need beyond the reserve; a frame is forgotten each time it is judged. */
  #needed = 0;
  #quietFrames = 0;
  #skipped = 0;

  constructor({ depthMs = 60 }: { depthMs?: number } = {}) {
    this.#depthMs = depthMs;
  }

  /** Audio that came in time and was left out, to get less late or because the stream began anew. */
  get skippedMs(): number {
    return (this.#skipped * 1_000) / RATE_HZ;
  }

  /** Forgets the stream: a new source, or a new negotiation. */
  reset(): void {
    this.#startsAtMs = undefined;
    this.#filled.fill(0);
    this.#missingRun = 0;
    this.#lateRun = 0;
    this.#grown = 0;
    this.#needed = 0;
  }

  /** Audio of one packet. `late` means that its time has been played out already. */
  put(timestamp: number, samples: Int16Array, atMs: number): "stored" | "late" {
    if (samples.length > LIMIT_AHEAD_SAMPLES) return "late";
    const position = this.#locate(timestamp, samples.length, atMs);
    if (position === undefined) return "late";
    this.#store(position, samples.length, (index) => samples[index] ?? 0);
    return "stored";
  }

  /** A telephone event in place of audio: nothing is missing where it stands. */
  putEvent(timestamp: number, durationSamples: number, atMs: number): void {
    const length = Math.min(durationSamples, LIMIT_AHEAD_SAMPLES);
    const lateRun = this.#lateRun;
    const position = this.#locate(timestamp, length, atMs);
    // The packets of one event say the same again and again: no sign of a longer path.
    if (position === undefined) this.#lateRun = lateRun;
    else this.#store(position, length, () => 0);
  }

  /** The next 20 ms; silence before the stream's play-out begins. */
  take(atMs: number): PlayedOut {
    // Half a frame of leeway, so that the buffered time is the depth on average.
    if (this.#startsAtMs === undefined || atMs < this.#startsAtMs - FRAME_MS / 2) {
      return { samples: new Int16Array(FRAME_SAMPLES), concealed: false };
    }
    this.#judgeDepth();
    this.#takenAtMs = atMs;
    const samples = new Int16Array(FRAME_SAMPLES);
    const gain = this.#missingRun < FADE_FRAMES ? FADE : 0;
    let missing = 0;
    for (let index = 0; index < FRAME_SAMPLES; index++) {
      const slot = (this.#next + index) % CAPACITY_SAMPLES;
      if (this.#filled[slot] === 0) missing++;
      samples[index] = this.#filled[slot]
        ? (this.#ring[slot] ?? 0)
        : (this.#last[index] ?? 0) * gain;
      this.#filled[slot] = 0;
    }
    this.#next += FRAME_SAMPLES;
    this.#last.set(samples);
    this.#missingRun = missing > 0 ? this.#missingRun + 1 : 0;
    this.#quietFrames = isQuiet(samples) ? this.#quietFrames + 1 : 0;
    return { samples, concealed: missing > 0 };
  }

  /** Position of a packet on the time line; `undefined` when it comes too late. */
  #locate(timestamp: number, length: number, atMs: number): number | undefined {
    if (this.#startsAtMs === undefined) return this.#start(timestamp, length, atMs);
    const distance = (timestamp - this.#reference.timestamp) | 0;
    const place = this.#reference.position + distance;
    if (place + length > this.#next + LIMIT_AHEAD_SAMPLES) {
      return this.#start(timestamp, length, atMs);
    }
    const position = distance > 0 ? this.#growToMeet(place) : place;
    if (position + length <= this.#next) {
      this.#lateRun += 1;
      return this.#lateRun < LATE_RUN ? undefined : this.#start(timestamp, length, atMs);
    }
    this.#lateRun = 0;
    if (distance > 0) {
      this.#reference = { timestamp, position };
      this.#noteWait(position, atMs);
    }
    this.#end = Math.max(this.#end, position + length);
    return position;
  }

  #noteWait(position: number, atMs: number): void {
    if (this.#takenAtMs === undefined) return;
    const frames = Math.floor((position - this.#next) / FRAME_SAMPLES) + 1;
    this.#waits[this.#waited++ % JUDGE_FRAMES] = this.#takenAtMs + frames * FRAME_MS - atMs;
  }

  /** The newest packet comes after its time: everything from it on is played as much later. */
  #growToMeet(position: number): number {
    const late = this.#next - position;
    if (late <= 0 || this.#grown + late > LIMIT_GROWTH_SAMPLES) return position;
    this.#grown += late;
    this.#needed = Math.min(this.#needed + late, LIMIT_GROWTH_SAMPLES);
    return this.#next;
  }

  #start(timestamp: number, length: number, atMs: number): number {
    this.#skipped += this.#filled.reduce((sum, filled) => sum + filled, 0);
    this.reset();
    this.#startsAtMs = atMs + this.#depthMs;
    this.#reference = { timestamp, position: this.#next };
    this.#end = this.#next + length;
    this.#takenAtMs = undefined;
    this.#judgeAnew();
    return this.#next;
  }

  #store(position: number, length: number, sample: (index: number) => number): void {
    const first = Math.max(0, this.#next - position);
    for (let index = first; index < length; index++) {
      const slot = (position + index) % CAPACITY_SAMPLES;
      if (this.#filled[slot]) continue;
      this.#ring[slot] = sample(index);
      this.#filled[slot] = 1;
    }
  }

  /**
   * Every frame that waits longer than the path needs is heard that much later: by a first packet
   * that came late, a delay that grew and shrank again, a peer whose clock runs fast, or a path
   * better than the first guess. The excess is left out where nobody has spoken for a while, so that
   * no utterance changes.
   */
  #judgeDepth(): void {
    this.#leastDepth = Math.min(this.#leastDepth, this.#end - this.#next);
    this.#judged += 1;
    if (this.#judged < JUDGE_FRAMES) return;
    if (this.#quietFrames < SILENCE_FRAMES || !this.#isQuietAhead()) return;
    for (let frames = this.#excessFrames(); frames >= 1; frames--) this.#leaveOutFrame();
    this.#judgeAnew();
  }

  #excessFrames(): number {
    const sorted = this.#waits.toSorted((a, b) => a - b);
    const waitMs = sorted[Math.floor(sorted.length * SEEN_LATE_SHARE)] ?? 0;
    const neededMs = (this.#needed * 1_000) / RATE_HZ;
    const depth = this.#leastDepth - FRAME_SAMPLES - this.#needed;
    return Math.floor(Math.min(depth / FRAME_SAMPLES, (waitMs - RESERVE_MS - neededMs) / FRAME_MS));
  }

  #leaveOutFrame(): void {
    for (let index = 0; index < FRAME_SAMPLES; index++) {
      const slot = (this.#next + index) % CAPACITY_SAMPLES;
      this.#skipped += this.#filled[slot] ?? 0;
      this.#filled[slot] = 0;
    }
    this.#next += FRAME_SAMPLES;
    this.#grown = Math.max(0, this.#grown - FRAME_SAMPLES);
  }

  #judgeAnew(): void {
    this.#needed = Math.max(0, this.#needed - FRAME_SAMPLES);
    this.#judged = 0;
    this.#leastDepth = Number.POSITIVE_INFINITY;
    this.#waits.length = 0;
    this.#waited = 0;
  }

  /** Whether everything that waits is quiet. */
  #isQuietAhead(): boolean {
    for (let position = this.#next; position < this.#end; position++) {
      const slot = position % CAPACITY_SAMPLES;
      if (this.#filled[slot] && Math.abs(this.#ring[slot] ?? 0) > QUIET_PEAK) return false;
    }
    return true;
  }
}

function isQuiet(samples: Int16Array): boolean {
  for (const sample of samples) if (sample > QUIET_PEAK || sample < -QUIET_PEAK) return false;
  return true;
}
