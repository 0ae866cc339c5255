import { decodeMulaw, encodeMulaw } from "../simulator/media/g711.ts";
import { resample } from "../simulator/media/resample.ts";

/** What happens to speech on its way. */
export interface Channel {
  name: string;
  /** Signal to noise, dB re active level; without it there is comfort noise at -65 dBFS. */
  snrDb?: number;
  noise?: "white" | "pink" | "babble";
  gainDb?: number;
  /** Share of packets lost, and the mean length of a burst of losses. */
  loss?: number;
  burst?: number;
  /** Lost packets become zeros instead of the last packet, fading. */
  zeros?: boolean;
  /** Frames that the jitter buffer repeats or drops, per second. */
  slips?: number;
}

/** 16 kHz audio as it arrives, and where in it each utterance lies. */
export interface Received {
  samples: Int16Array;
  marks: { startMs: number; endMs: number }[];
}

const RATE_HZ = 8000;
const PACKET_SAMPLES = 160;
const COMFORT_NOISE_DBFS = -65;
const LONGEST_CONCEALMENT = 5;

/** Mulberry32: small, seeded, good enough for noise. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Sends utterances (8 kHz), 1.0 to 1.6 s apart, through a channel: gain, noise, mu-law, packets of
 * 20 ms, loss with concealment, slips; then up to 16 kHz.
 */
export function transmit(
  utterances: readonly Int16Array[],
  channel: Channel,
  { seed, babble }: { seed: number; babble: Int16Array },
): Received {
  const random = seededRandom(seed);
  const starts = placesOf(utterances, random);
  const last = starts.length - 1;
  const end = (starts[last] ?? 0) + (utterances[last]?.length ?? 0) + 1.3 * RATE_HZ;
  const line = new Float32Array(Math.ceil(end / PACKET_SAMPLES) * PACKET_SAMPLES);
  const gain = 10 ** ((channel.gainDb ?? 0) / 20);
  for (const [index, utterance] of utterances.entries()) {
    for (let i = 0; i < utterance.length; i++) {
      line[(starts[index] ?? 0) + i] = (utterance[i] ?? 0) * gain;
    }
  }
  addNoise(line, channel, { random, babble, level: gain * Math.max(...utterances.map(activeRms)) });
  const samples = resample(packets(line, channel, random), RATE_HZ, 2 * RATE_HZ);
  const toMs = (position: number) => (position * 1000) / RATE_HZ;
  const marks = utterances.map((utterance, index) => {
    const start = starts[index] ?? 0;
    return { startMs: toMs(start), endMs: toMs(start + utterance.length) };
  });
  return { samples, marks };
}

function placesOf(utterances: readonly Int16Array[], random: () => number): number[] {
  let at = RATE_HZ + Math.floor(random() * PACKET_SAMPLES);
  return utterances.map((utterance) => {
    const start = at;
    at += utterance.length + Math.round(RATE_HZ * (1 + random() * 0.6));
    return start;
  });
}

function gaussian(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Root mean square of the frames within 25 dB of the loudest. */
export function activeRms(samples: Int16Array): number {
  const powers: number[] = [];
  for (let at = 0; at + PACKET_SAMPLES <= samples.length; at += PACKET_SAMPLES) {
    const frame = samples.subarray(at, at + PACKET_SAMPLES);
    powers.push(frame.reduce((sum, sample) => sum + sample * sample, 0) / PACKET_SAMPLES);
  }
  const loudest = Math.max(...powers);
  const active = powers.filter((power) => power > loudest / 316);
  return Math.sqrt(active.reduce((sum, power) => sum + power, 0) / active.length);
}

function addNoise(
  line: Float32Array,
  { snrDb, noise = "white" }: Channel,
  { random, babble, level }: { random: () => number; babble: Int16Array; level: number },
): void {
  const amplitude =
    snrDb === undefined ? 32_768 * 10 ** (COMFORT_NOISE_DBFS / 20) : level / 10 ** (snrDb / 20);
  const source = noiseSource(snrDb === undefined ? "white" : noise, random, babble);
  const made = Float32Array.from(line, source);
  const rms = Math.sqrt(made.reduce((sum, value) => sum + value * value, 0) / made.length);
  const scale = noise === "babble" ? amplitude / activeRms(babble) : amplitude / rms;
  for (let i = 0; i < line.length; i++) line[i] = (line[i] ?? 0) + (made[i] ?? 0) * scale;
}

function noiseSource(
  kind: NonNullable<Channel["noise"]>,
  random: () => number,
  babble: Int16Array,
): () => number {
  if (kind === "white") return () => gaussian(random);
  if (kind === "babble") {
    let at = Math.floor(random() * babble.length);
    return () => babble[at++ % babble.length] ?? 0;
  }
  let [a, b, c] = [0, 0, 0];
  return () => {
    const white = gaussian(random);
    a = 0.99765 * a + white * 0.099046;
    b = 0.963 * b + white * 0.2965164;
    c = 0.57 * c + white * 1.0526913;
    return a + b + c + white * 0.1848;
  };
}

function packets(line: Float32Array, channel: Channel, random: () => number): Int16Array {
  const sent = decodeMulaw(encodeMulaw(Int16Array.from(line, clip)));
  const lost = lossModel(channel, random);
  const played: Int16Array[] = [];
  let last = new Int16Array(PACKET_SAMPLES);
  let missing = 0;
  for (let at = 0; at < sent.length; at += PACKET_SAMPLES) {
    missing = lost() ? missing + 1 : 0;
    if (missing === 0) last = sent.slice(at, at + PACKET_SAMPLES);
    const faded = channel.zeros ? 0 : fade(missing);
    played.push(missing === 0 ? last : last.map((sample) => sample * faded));
    if (random() >= (channel.slips ?? 0) / 50) continue;
    if (random() < 0.5) played.push(last);
    else played.pop();
  }
  const whole = new Int16Array(played.length * PACKET_SAMPLES);
  for (const [index, packet] of played.entries()) whole.set(packet, index * PACKET_SAMPLES);
  return whole;
}

/** Concealment repeats the last packet, a fifth quieter each time. */
function fade(missing: number): number {
  return missing > LONGEST_CONCEALMENT ? 0 : Math.max(0, 1 - 0.2 * missing);
}

/** Independent losses, or Gilbert's two states for bursts. */
function lossModel({ loss = 0, burst = 1 }: Channel, random: () => number): () => boolean {
  let bad = false;
  return () => {
    const enter = burst > 1 ? loss / (burst * (1 - loss)) : loss;
    bad = random() < (bad && burst > 1 ? 1 - 1 / burst : enter);
    return bad;
  };
}

function clip(value: number): number {
  return Math.max(-32_768, Math.min(32_767, Math.round(value)));
}
