import type { Audio } from "../media/frame.ts";

/** The part of a media session that the tone uses. */
export interface RingbackMedia {
  play(audio: Audio, options?: { signal?: AbortSignal }): Promise<{ playedMs: number }>;
}

const RATE_HZ = 8_000;
/** North American audible ringing (ITU-T E.180): 440 + 480 Hz, 2 s of tone, 4 s of silence. */
const TONES_HZ = [440, 480];
const ON_MS = 2_000;
const OFF_MS = 4_000;
/** Each tone's peak; together about -19 dBm0. */
const AMPLITUDE = 1_800;

/** One cadence of ringing. */
export function ringbackTone(): Audio {
  const samples = new Int16Array(((ON_MS + OFF_MS) * RATE_HZ) / 1_000);
  const toneLength = (ON_MS * RATE_HZ) / 1_000;
  for (let index = 0; index < toneLength; index++) {
    const phase = (2 * Math.PI * index) / RATE_HZ;
    const sum = TONES_HZ.reduce((total, toneHz) => total + Math.sin(phase * toneHz), 0);
    samples[index] = Math.round(AMPLITUDE * sum);
  }
  return { samples, rateHz: RATE_HZ };
}

/**
 * Lets a waiting party hear ringing until aborted. In a transfer nobody else does: the old leg is
 * about to go and the new one has no media yet.
 */
export async function ring(media: RingbackMedia, signal: AbortSignal): Promise<void> {
  const tone = ringbackTone();
  while (!signal.aborted) {
    const { playedMs } = await media.play(tone, { signal });
    // A session that has been closed plays nothing, at once.
    if (playedMs === 0) return;
  }
}
