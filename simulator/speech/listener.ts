import { Resampler } from "../media/resample.ts";
import { type Expectation, expected } from "./expectation.ts";
import type { Word } from "./flite.ts";
import { FrontEnd, PRE_ROLL_FRAMES, rowsBefore } from "./front-end.ts";
import { LATE_SEARCH_EVERY_FRAMES, lateStart, sinceItsStart } from "./late-start.ts";
import { Segmenter } from "./segmentation.ts";
import { type Extent, type Segment, searchAll, track } from "./shortlist.ts";
import { ANALYSIS_RATE_HZ, HOP_MS } from "./spectrum.ts";
import type { Template } from "./template.ts";
import { score, type Verdict, type VerifiedCandidate, verify } from "./verification.ts";

/** What an ear makes of audio. Times are milliseconds of audio given to the ear. */
export interface EarEvent {
  /**
   * `onset`: somebody speaks; `hypothesis`: the words so far, may be revised; `phrase`: a known
   * sentence; `noMatch`: the speech ended and is no known sentence; `discard`: what began was no
   * speech: too short (under 100 ms), or noise that set in.
   */
  type: "onset" | "hypothesis" | "phrase" | "noMatch" | "discard";
  /** Of `hypothesis` and `phrase`, else empty. */
  text: string;
  startMs: number;
  endMs: number;
  /** 0 … 1, of `phrase`: how much of the audio is explained, and how well. */
  confidence?: number;
  /** Of `hypothesis` and `phrase`. Times as above. */
  words?: Word[];
  /** Of `hypothesis` and `phrase`: the one the sentence was enrolled with. */
  language?: string;
}

/** 250 and 500 ms after the onset all templates are compared, then only those that came close. */
const FULL_SEARCH_FRAMES = [25, 50];
const JUDGE_EVERY_FRAMES = 10;
const CLOSE_SIMILARITY = 0.35;
/** After a second of speech the right one is hardly ever behind at all, even with noise and loss. */
const CLOSER_SIMILARITY = 0.2;
const SETTLED_FRAMES = PRE_ROLL_FRAMES + 100;
const LIMIT_TRACKED = 400;
const SHORTEST_SPEECH_FRAMES = 10;
const LEAST_SIMILARITY = 0.5;
/** After the end of a known sentence this much is awaited, in case a longer one goes on. */
const TAIL_FRAMES = 20;
const ENDED_COVER = 0.85;
const ENDED_BLOCKS = 4;
const ENDED_SCORE = 0.75;
const PAUSE_BELOW_PEAK_DB = 20;
const RIVAL_COHERENCE = 0.12;
const RIVALS = 6;
const SURE_BLOCKS = 3;
/** From so many incoherent blocks at the end on, the best candidate has been lost. */
const LOST_BLOCKS = 2;
/** What may lack at the end of a sentence where the audio ends. */
const LACKING_FRAMES = 5;
/** A sentence that begins so late was preceded by something else. */
const LATE_OFFSET = PRE_ROLL_FRAMES + 5;
/** How many the waveforms of which are compared at the end. */
const FINALISTS = 3;

/**
 * What the spectrum does not prove, the waveform has to explain. Right answers of the benchmark had a
 * sum of 1.42 and more; wrong ones that passed the other tests, half their words being right, 1.38.
 */
const LEAST_EVIDENCE = 1.4;
/** With a larger part missing it is another sentence, however well the rest fits. */
const LARGEST_HOLE_SHARE = 0.15;

function accepted({ cover, longestGap, edgeGap, explained, hole, counted }: Verdict): boolean {
  const whole = longestGap <= 2 && edgeGap <= 1 && hole <= LARGEST_HOLE_SHARE * counted;
  return whole && cover >= 0.75 && explained >= 0.55;
}

function evident({ candidate: { similarity }, verdict }: Match): boolean {
  return similarity >= LEAST_SIMILARITY && similarity + verdict.explained >= LEAST_EVIDENCE;
}

/** A candidate that passed, with the verdict that says so. */
interface Match {
  candidate: VerifiedCandidate;
  verdict: Verdict;
}

/**
 * One stream of audio against a growing set of templates: segmentation, a shortlist by spectrum,
 * verification by waveform. Synchronous; up to 100 ms of work for 20 ms of audio, so it lives in a
 * worker.
 */
export class Listener {
  readonly #enrolled: readonly Template[];
  readonly #expectation: Expectation;
  readonly #emit: (event: EarEvent) => void;
  readonly #frontEnd = new FrontEnd();
  readonly #segmenter: Segmenter;
  #resampler: Resampler | undefined;
  #tracked: VerifiedCandidate[] | undefined;
  #searches = 0;
  #judgeAt = 0;
  #lateSearchAt = 0;
  /** Whether the tracked candidates are all that is worth comparing at the end. */
  #sure = false;
  #onsetMs = 0;
  #heardMs = 0;
  #hypothesis = "";

  constructor(
    templates: readonly Template[],
    options: Expectation & { segmentationSilenceMs: number; emit: (event: EarEvent) => void },
  ) {
    this.#enrolled = templates;
    this.#expectation = options;
    this.#emit = options.emit;
    this.#segmenter = new Segmenter(options);
  }

  /** How much audio has been judged; the newest 15 ms only as far as a part of a window tells. */
  get heardMs(): number {
    return this.#heardMs;
  }

  accept(samples: Int16Array, rateHz: number): void {
    this.#heardMs += (samples.length * 1000) / rateHz;
    for (const _ of this.#frontEnd.append(this.#atAnalysisRate(samples, rateHz))) this.#advance();
  }

  /** The audio is over: judges what is still open. */
  finish(): void {
    if (!this.#segmenter.speaking) return;
    this.#segmenter.close();
    this.#end(this.#segmenter.voicedUntil);
  }

  #advance(): void {
    const { history } = this.#frontEnd;
    for (let level = history.advance(); level !== undefined; level = history.advance()) {
      const change = this.#segmenter.next(history, level);
      if (change === "onset") this.#begin();
      if (change === "restart") this.#reset();
      if (change === "end") {
        this.#end(this.#segmenter.voicedUntil);
        history.keepLast(PRE_ROLL_FRAMES);
      } else if (this.#segmenter.speaking) this.#judgeWhenDue();
    }
  }

  #atAnalysisRate(samples: Int16Array, rateHz: number): Int16Array {
    if (this.#resampler?.fromHz !== rateHz) {
      this.#resampler = new Resampler(rateHz, ANALYSIS_RATE_HZ);
    }
    return this.#resampler.process(samples);
  }

  #begin(): void {
    this.#reset();
    this.#onsetMs = this.#timeOf(PRE_ROLL_FRAMES);
    this.#emit({ type: "onset", text: "", startMs: this.#onsetMs, endMs: this.#nowMs });
  }

  #reset(): void {
    this.#tracked = undefined;
    this.#searches = 0;
    this.#lateSearchAt = 0;
    this.#judgeAt = PRE_ROLL_FRAMES + (FULL_SEARCH_FRAMES[0] ?? 0);
    this.#sure = false;
    this.#hypothesis = "";
  }

  get #templates(): readonly Template[] {
    return expected(this.#enrolled, this.#expectation);
  }

  get #nowMs(): number {
    return this.#timeOf(this.#frontEnd.history.length);
  }

  get #segment(): Segment {
    return { history: this.#frontEnd.history, noise: this.#segmenter.noise };
  }

  #timeOf(row: number): number {
    return (this.#frontEnd.history.first + row) * HOP_MS;
  }

  #judgeWhenDue(): void {
    const { history } = this.#frontEnd;
    if (history.length < this.#judgeAt || this.#enrolled.length === 0) return;
    this.#judgeAt += JUDGE_EVERY_FRAMES;
    const extent = { frames: history.length, whole: false };
    const candidates = this.#compare(extent);
    const ended = this.#endedSentence(candidates);
    if (ended !== undefined && !this.#goesOn(ended, candidates, extent)) this.#close(ended);
    else if (!this.#suppose(candidates, extent)) this.#splitWhereSentenceBegins();
  }

  #compare(extent: Extent): VerifiedCandidate[] {
    const full = this.#tracked === undefined || this.#searches < FULL_SEARCH_FRAMES.length;
    const found = full
      ? searchAll(this.#segment, this.#templates, extent)
      : track(this.#segment, this.#tracked ?? [], extent);
    if (full) {
      this.#searches++;
      const next = FULL_SEARCH_FRAMES[this.#searches];
      if (next !== undefined) this.#judgeAt = PRE_ROLL_FRAMES + next;
    }
    const behind = extent.frames < SETTLED_FRAMES ? CLOSE_SIMILARITY : CLOSER_SIMILARITY;
    const close = (found[0]?.similarity ?? 0) - behind;
    this.#tracked = found.filter(({ similarity }) => similarity > close).slice(0, LIMIT_TRACKED);
    return found;
  }

  /** The best candidate that was over 200 ms ago and explains everything up to its end. */
  #endedSentence(candidates: readonly VerifiedCandidate[]): Match | undefined {
    let best: Match | undefined;
    for (const candidate of candidates.slice(0, 4)) {
      const end = candidate.offset + candidate.template.frames;
      if (candidate.similarity < LEAST_SIMILARITY) break;
      if (this.#frontEnd.history.length < end + TAIL_FRAMES) continue;
      const verdict = this.#verifyToEnd(candidate, end);
      if (!accepted(verdict) || verdict.cover < ENDED_COVER) continue;
      if (!evident({ candidate, verdict })) continue;
      const clear = verdict.counted >= ENDED_BLOCKS && score(verdict) >= ENDED_SCORE;
      const certain = clear || this.#quietSince(end);
      if (certain && (best === undefined || score(verdict) > score(best.verdict))) {
        best = { candidate, verdict };
      }
    }
    return best;
  }

  /** What was said before a sentence, without a pause, does not speak against it. */
  #verifyToEnd(candidate: VerifiedCandidate, frames: number): Verdict {
    const extent = { frames, whole: true };
    const verdict = verify(candidate, this.#segment, extent);
    if (accepted(verdict) || candidate.offset < LATE_OFFSET) return verdict;
    return sinceItsStart(candidate, this.#segment, extent);
  }

  /** A short word may be the beginning of another, and a poor match another word; a pause says no. */
  #quietSince(row: number): boolean {
    const { energies, length } = this.#frontEnd.history;
    const loudest = energies.subarray(0, row).reduce((peak, energy) => Math.max(peak, energy));
    return energies
      .subarray(row + 2, length)
      .every((energy) => energy < loudest - PAUSE_BELOW_PEAK_DB);
  }

  /** Whether a longer sentence, of which more is awaited, explains what is heard as well as this one. */
  #goesOn(ended: Match, candidates: readonly VerifiedCandidate[], extent: Extent): boolean {
    return candidates.slice(0, RIVALS).some((candidate) => {
      const { template, offset } = candidate;
      if (template.text === ended.candidate.template.text) return false;
      if (offset + template.frames + TAIL_FRAMES <= extent.frames) return false;
      const verdict = verify(candidate, this.#segment, extent);
      const coherent = verdict.coherence > ended.verdict.coherence - 0.1;
      return coherent && verdict.cover >= 0.75 && verdict.edgeGap <= 1;
    });
  }

  /** The sentence is complete; what was heard since its end is looked at afresh. */
  #close(match: Match): void {
    const { offset, template } = match.candidate;
    const { history } = this.#frontEnd;
    this.#emitPhrase(match);
    this.#segmenter.close();
    history.rewind(Math.min(history.length, offset + template.frames + template.tailFrames));
  }

  /**
   * Tells the words so far, where the best candidate and its rivals agree on them. False if nothing
   * known explains what was heard last.
   */
  #suppose(candidates: readonly VerifiedCandidate[], extent: Extent): boolean {
    const [best] = candidates;
    this.#sure = false;
    if (best === undefined || best.similarity < LEAST_SIMILARITY) return false;
    const verdict = verify(best, this.#segment, extent);
    const { counted, cover, longestGap, endGap, coherence } = verdict;
    if (counted < SURE_BLOCKS || cover < 0.75 || longestGap > 1) return endGap < LOST_BLOCKS;
    const rivals = candidates
      .slice(1)
      .filter(({ template, similarity }) => {
        return (
          template.text !== best.template.text && similarity > best.similarity - RIVAL_COHERENCE
        );
      })
      .slice(0, RIVALS)
      .filter((rival) => {
        return verify(rival, this.#segment, extent).coherence > coherence - RIVAL_COHERENCE;
      });
    this.#sure = rivals.length === 0;
    this.#emitHypothesis(best, rivals, extent.frames);
    return true;
  }

  /** In speech that nothing explains: a prompt that was cut off by another, say. */
  #splitWhereSentenceBegins(): void {
    const { history } = this.#frontEnd;
    if (history.length < this.#lateSearchAt) return;
    // In the silence that may end the segment there is none to be found, only work to be done.
    if (history.length - this.#segmenter.voicedUntil >= TAIL_FRAMES) return;
    this.#lateSearchAt = history.length + LATE_SEARCH_EVERY_FRAMES;
    const start = lateStart(this.#segment, this.#templates);
    if (start === undefined) return;
    this.#end(start, { history: rowsBefore(history, start), noise: this.#segmenter.noise });
    history.rewind(start);
    this.#segmenter.close();
  }

  #emitHypothesis(
    best: VerifiedCandidate,
    rivals: readonly VerifiedCandidate[],
    frames: number,
  ): void {
    const elapsedMs = (frames - best.offset) * HOP_MS;
    const agreed = best.template.words.findIndex((word, index) => {
      const over = word.startMs + word.durationMs > elapsedMs;
      return over || rivals.some(({ template }) => template.words[index]?.text !== word.text);
    });
    const words = this.#wordsOf(best).slice(0, agreed === -1 ? undefined : agreed);
    const text = words.map((word) => word.text).join(" ");
    const last = words.at(-1);
    if (last === undefined || text === this.#hypothesis) return;
    this.#hypothesis = text;
    const startMs = this.#timeOf(best.offset);
    const endMs = last.startMs + last.durationMs;
    const { language } = best.template;
    this.#emit({ type: "hypothesis", text, startMs, endMs, words, language });
  }

  /** Judges the segment up to `frames` as a whole. */
  #end(frames: number, segment: Segment = this.#segment): void {
    const long = frames - PRE_ROLL_FRAMES >= SHORTEST_SPEECH_FRAMES;
    const match = long ? this.#bestMatch(frames, segment) : undefined;
    if (match !== undefined) this.#emitPhrase(match);
    else {
      const endMs = Math.max(this.#onsetMs, this.#timeOf(frames));
      this.#emit({ type: long ? "noMatch" : "discard", text: "", startMs: this.#onsetMs, endMs });
    }
  }

  #bestMatch(frames: number, segment: Segment): Match | undefined {
    const templates =
      this.#sure && this.#tracked !== undefined
        ? this.#tracked.map(({ template }) => template)
        : this.#templates;
    const heardUntil = segment.history.length + LACKING_FRAMES;
    const candidates: VerifiedCandidate[] = searchAll(segment, templates, {
      frames,
      whole: true,
    }).filter(({ template, offset }) => offset + template.frames <= heardUntil);
    const closest = candidates[0]?.similarity ?? 0;
    const matches = candidates.slice(0, FINALISTS).map((candidate): Match => {
      this.#reuseAlignment(candidate);
      return { candidate, verdict: this.#verifyFinalist(candidate, segment, { frames, closest }) };
    });
    const [best] = matches.toSorted((a, b) => score(b.verdict) - score(a.verdict));
    return best !== undefined && evident(best) && accepted(best.verdict) ? best : undefined;
  }

  #reuseAlignment(candidate: VerifiedCandidate): void {
    const tracked = this.#tracked?.find(({ template, offset }) => {
      return template === candidate.template && Math.abs(offset - candidate.offset) < 3;
    });
    if (tracked?.alignment !== undefined) candidate.alignment = tracked.alignment;
  }

  #verifyFinalist(
    candidate: VerifiedCandidate,
    segment: Segment,
    { frames, closest }: { frames: number; closest: number },
  ): Verdict {
    const extent = { frames, whole: true };
    const quick = verify(candidate, segment, extent);
    if (quick.cover >= 0.95 || candidate.similarity <= closest - 0.15) return quick;
    const thorough = verify(candidate, segment, extent, { thorough: true });
    const better = thorough.coherence > quick.coherence ? thorough : quick;
    if (accepted(better) || candidate.offset < LATE_OFFSET) return better;
    const late = sinceItsStart(candidate, segment, extent);
    return late.cover >= ENDED_COVER ? late : better;
  }

  #emitPhrase({ candidate, verdict }: Match): void {
    const { template, offset } = candidate;
    this.#emit({
      type: "phrase",
      text: template.text,
      startMs: Math.max(0, this.#timeOf(offset)),
      endMs: this.#timeOf(offset + template.frames),
      confidence: Math.max(0, Math.min(1, score(verdict))),
      words: this.#wordsOf(candidate),
      language: template.language,
    });
  }

  #wordsOf({ template, offset }: VerifiedCandidate): Word[] {
    const startMs = this.#timeOf(offset);
    return template.words.map((word) => ({ ...word, startMs: word.startMs + startMs }));
  }
}
