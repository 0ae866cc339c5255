/** A stretch of audible sound on a line, in lab time. */
export interface Span {
  readonly startMs: number;
  readonly endMs: number;
}

/** Mono PCM with the lab time of its first sample. */
export interface TimedAudio {
  readonly samples: Int16Array;
  readonly rateHz: number;
  readonly startedAtMs: number;
}

const WINDOW_MS = 20;
/** Speech of the synthesiser lies near -20 dBFS; comfort noise and codec hiss stay below -60. */
const AUDIBLE_DBFS = -45;
/** Pauses between words are shorter than this; pauses between utterances are longer. */
const JOIN_MS = 400;

/** Where a recording can be heard. Windows of 20 ms; pauses below 400 ms belong to the speech. */
export function audibleSpans(audio: TimedAudio, joinMs = JOIN_MS): Span[] {
  const { samples, rateHz, startedAtMs } = audio;
  const window = Math.round((rateHz * WINDOW_MS) / 1000);
  const spans: { startMs: number; endMs: number }[] = [];
  for (let from = 0; from + window <= samples.length; from += window) {
    if (levelDbfs(samples.subarray(from, from + window)) < AUDIBLE_DBFS) continue;
    const startMs = startedAtMs + (from / rateHz) * 1000;
    const last = spans.at(-1);
    if (last !== undefined && startMs - last.endMs < joinMs) last.endMs = startMs + WINDOW_MS;
    else spans.push({ startMs, endMs: startMs + WINDOW_MS });
  }
  return spans;
}

/** RMS level relative to full scale; -120 for digital silence. */
export function levelDbfs(samples: Int16Array): number {
  let energy = 0;
  for (const sample of samples) energy += sample * sample;
  return 10 * Math.log10(energy / Math.max(1, samples.length) / 32768 ** 2 + 1e-12);
}

/**
 * For each thing the caller said: how long until the reply began. An utterance that the caller
 * spoke over the agent counts from its end as any other; one that nobody replied to is left out.
 */
export function responseTimes(said: readonly Span[], heard: readonly Span[]): number[] {
  return said.flatMap((span, index) => {
    const nextSaid = said[index + 1]?.startMs ?? Number.POSITIVE_INFINITY;
    const reply = heard.find(({ startMs }) => startMs > span.endMs && startMs < nextSaid);
    return reply === undefined ? [] : [reply.startMs - span.endMs];
  });
}

/**
 * For each time the caller began to speak over the agent: how long the agent could still be heard.
 * Everything counts that the agent began before the caller had finished: a pause between two of its
 * words is no silence. `heard` is taken without joining pauses, so that the reply is not counted in.
 */
export function bargeIns(said: readonly Span[], heard: readonly Span[]): BargeIn[] {
  return said.flatMap(({ startMs, endMs }) => {
    if (!heard.some((span) => span.startMs < startMs && span.endMs > startMs)) return [];
    const last = heard.findLast((span) => span.startMs < endMs);
    return [{ atMs: startMs, silentAfterMs: (last?.endMs ?? startMs) - startMs }];
  });
}

/** The caller spoke over the agent. */
export interface BargeIn {
  /** Lab time of the caller's first sound. */
  readonly atMs: number;
  /** How long the agent could still be heard. */
  readonly silentAfterMs: number;
}

/** The longest of the gaps that lie within an utterance; infinite where nothing was heard at all. */
export function longestGapWithin(gaps: readonly Span[], heard: readonly Span[]): number {
  if (heard.length === 0) return Number.POSITIVE_INFINITY;
  const within = gaps.filter((gap) =>
    heard.some((span) => gap.startMs > span.startMs && gap.endMs < span.endMs),
  );
  return Math.max(0, ...within.map((gap) => gap.endMs - gap.startMs));
}

/** The value below which `share` (0 to 1) of the values lie; nearest rank. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
