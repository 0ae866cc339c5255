import {
  Alignment,
  BLOCK_SAMPLES,
  type BlockMatch,
  COHERENT_SHARE,
  type Span,
} from "./alignment.ts";
import { PRE_ROLL_FRAMES } from "./front-end.ts";
import type { Candidate, Extent, Segment } from "./shortlist.ts";
import { HOP_SAMPLES } from "./spectrum.ts";

/** How well a candidate's waveform explains what was heard. */
export interface Verdict {
  /** Blocks that count: the template, or unexplained sound, is there. */
  readonly counted: number;
  /** Share of the counted blocks that are coherent. */
  readonly cover: number;
  /** Incoherent blocks: the longest row of them, the longer of those at the ends, that at the end. */
  readonly longestGap: number;
  readonly edgeGap: number;
  readonly endGap: number;
  /** Blocks in the longest stretch of 200 ms and more in which nothing of the template is to be heard. */
  readonly hole: number;
  /** Share of the heard energy above the noise that the template accounts for. */
  readonly explained: number;
  /** Mean coherence, relative to what the noise allows. */
  readonly coherence: number;
}

/** A candidate that waveform comparison has been applied to. */
export interface VerifiedCandidate extends Candidate {
  alignment?: Alignment;
}

/** Blocks this far below the template's loudest one, or this far under the noise, do not count. */
const FAINTEST_DB = -28;
const BURIED_DB = -8;
const SHORTEST_BLOCK_SAMPLES = 240;
const LEAST_CORRELATION = 0.2;
/** Below this a block has nothing of the template; one in which packets were lost has more. */
const ABSENT_COHERENCE = 0.2;

/** Ranks candidates that pass. */
export function score({ coherence, cover }: Verdict): number {
  return coherence * cover;
}

/** Compares waveforms; keeps the alignment with the candidate for the next time. */
export function verify(
  candidate: VerifiedCandidate,
  segment: Segment,
  extent: Extent,
  options: { thorough?: boolean } = {},
): Verdict {
  const span = spanOf(candidate, segment, extent);
  const { alignment } = candidate;
  if (alignment === undefined || options.thorough || alignment.outgrown(span, extent.whole)) {
    candidate.alignment = new Alignment(segment, candidate, span, options);
  }
  return judge(candidate, segment, span);
}

function spanOf({ template, offset }: Candidate, { history }: Segment, extent: Extent): Span {
  const end = extent.whole ? Math.max(extent.frames, offset + template.frames) : extent.frames;
  return {
    from: Math.max(0, offset * HOP_SAMPLES),
    to: Math.min(history.length, end) * HOP_SAMPLES,
  };
}

interface Block extends BlockMatch {
  readonly lengthSamples: number;
}

function judge({ alignment, gainDb }: VerifiedCandidate, { noise }: Segment, span: Span): Verdict {
  const blocks = alignment === undefined ? [] : blocksOf(alignment, span);
  const gain = 10 ** (gainDb / 10);
  const densities = blocks.map((block) => block.expectedPower / block.lengthSamples);
  const loudest = Math.max(1e-12, ...densities);
  const judged: JudgedBlock[] = [];
  for (const block of blocks) {
    const result = judgeBlock(block, {
      gain,
      loudest,
      noisePower: noise.power * block.lengthSamples,
    });
    if (result !== undefined) judged.push(result);
  }
  return summary(judged);
}

function blocksOf(alignment: Alignment, span: Span): Block[] {
  const spans: Span[] = [];
  const start = Math.min(span.from, PRE_ROLL_FRAMES * HOP_SAMPLES);
  for (
    let from = Math.floor(start / BLOCK_SAMPLES) * BLOCK_SAMPLES;
    from + SHORTEST_BLOCK_SAMPLES <= span.to;
    from += BLOCK_SAMPLES
  ) {
    spans.push({ from, to: Math.min(span.to, from + BLOCK_SAMPLES) });
  }
  return alignment.blocks(spans).map((block, index) => {
    const { from = 0, to = 0 } = spans[index] ?? {};
    return { ...block, lengthSamples: to - from };
  });
}

interface JudgedBlock {
  coherent: boolean;
  coherence: number;
  /** Energy above the noise, and how much of it the template accounts for. */
  energy: number;
  explained: number;
}

/** `undefined` where neither the template nor anything else is to be heard. */
function judgeBlock(
  { correlation, heardPower, expectedPower, lengthSamples }: Block,
  { gain, loudest, noisePower }: { gain: number; loudest: number; noisePower: number },
): JudgedBlock | undefined {
  const power = expectedPower * gain;
  const energy = Math.max(0, heardPower - 1.1 * noisePower);
  const expected =
    decibels(expectedPower / lengthSamples / loudest) > FAINTEST_DB &&
    decibels(power / noisePower) > BURIED_DB;
  const unexpected =
    energy > 0.5 * noisePower && decibels(energy / lengthSamples / (loudest * gain)) > FAINTEST_DB;
  if (!expected && !unexpected) return undefined;
  const possible = Math.sqrt(power / (power + noisePower));
  const coherent = correlation >= Math.max(LEAST_CORRELATION, COHERENT_SHARE * possible);
  return {
    coherent: expected && coherent,
    coherence: expected ? Math.min(1.2, correlation / possible) : 0,
    energy,
    explained: Math.min(energy, correlation > 0 ? correlation * correlation * heardPower : 0),
  };
}

function summary(blocks: readonly JudgedBlock[]): Verdict {
  const total = (value: (block: JudgedBlock) => number) =>
    blocks.reduce((sum, block) => sum + value(block), 0);
  const energy = total((block) => block.energy);
  const gaps = runs(blocks, ({ coherent }) => !coherent);
  const holes = runs(blocks, ({ coherence }) => coherence < ABSENT_COHERENCE);
  return {
    counted: blocks.length,
    cover: total(({ coherent }) => Number(coherent)) / Math.max(1, blocks.length),
    longestGap: Math.max(0, ...gaps),
    edgeGap: Math.max(gaps[0] ?? 0, gaps.at(-1) ?? 0),
    endGap: gaps.at(-1) ?? 0,
    hole: Math.max(0, ...holes.filter((length) => length > 1)),
    explained: energy > 0 ? total((block) => block.explained) / energy : 0,
    coherence: total((block) => block.coherence) / Math.max(1, blocks.length),
  };
}

/** How many blocks follow one another that are so, from the first to the last; 0 where none is. */
function runs(blocks: readonly JudgedBlock[], so: (block: JudgedBlock) => boolean): number[] {
  const signs = blocks.map((block) => (so(block) ? "x" : " ")).join("");
  return signs.split(" ").map((run) => run.length);
}

function decibels(ratio: number): number {
  return 10 * Math.log10(ratio + 1e-12);
}
