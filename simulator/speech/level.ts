/** What digital silence is called. */
const SILENCE_DBFS = -120;
const FRAMES_PER_SECOND = 50;
/** Frames this far below the loudest are pauses: 25 dB. */
const PAUSE_SHARE = 10 ** -2.5;
const FULL_SCALE = 32_768;

/** The level of the sound itself, without its pauses: mean power of the active 20 ms frames, in dBFS. */
export function activeLevelDbfs(samples: Int16Array, rateHz: number): number {
  const length = Math.round(rateHz / FRAMES_PER_SECOND);
  const powers: number[] = [];
  for (let at = 0; at < samples.length; at += length) {
    powers.push(meanPower(samples.subarray(at, at + length)));
  }
  const loudest = powers.reduce((most, power) => Math.max(most, power), 0);
  if (loudest === 0) return SILENCE_DBFS;
  const active = powers.filter((power) => power >= loudest * PAUSE_SHARE);
  const mean = active.reduce((sum, power) => sum + power, 0) / active.length;
  return Math.round(100 * Math.log10(mean)) / 10;
}

function meanPower(frame: Int16Array): number {
  let sum = 0;
  for (const sample of frame) sum += (sample / FULL_SCALE) ** 2;
  return sum / frame.length;
}
