import { type Audio, FRAME_MS } from "./frame.ts";

/** The level of a frame without any signal. */
export const FLOOR_DB = -96;
const FULL_SCALE = 32_768;

/**
 * RMS level of each 20 ms frame in dB below full scale, {@link FLOOR_DB} at least: what a waveform
 * drawing and a search for gaps need. The last frame may be shorter.
 */
export function envelope({ samples, rateHz }: Audio, frameMs = FRAME_MS): Float32Array {
  const size = Math.round((rateHz * frameMs) / 1_000);
  return Float32Array.from({ length: Math.ceil(samples.length / size) }, (_, frame) =>
    levelDb(samples.subarray(frame * size, (frame + 1) * size)),
  );
}

export function levelDb(samples: Int16Array): number {
  if (samples.length === 0) return FLOOR_DB;
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  return Math.max(FLOOR_DB, 10 * Math.log10(power / FULL_SCALE ** 2 + 1e-12));
}
