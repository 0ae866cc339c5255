/**
 * Interruptions swept over one reply:
 * `node bench/barge-in.ts [--from 200] [--to 8600] [--step 480] [--lanes 1]`
 * (milliseconds into the reply; a lane is a lab and an agent in a thread of their own, and takes
 * every so many-th offset). For each: how long the caller still hears the agent, and what the model
 * is told the caller has heard, against what the recording of their line holds. An interruption
 * after which the agent did not do what the caller said is printed as missed.
 */
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type RecordedSpan, recordSpans } from "../agent/testing/span-recorder.ts";
import { audibleSpans, percentile, type Span } from "../scenarios/harness/timing.ts";
import { startSynthesiser } from "../simulator/speech/synthesiser.ts";
import { type Bench, type BenchCall, callAgent, startBench } from "./agent-calls.ts";

const QUESTION = "What are the terms of my contract?";
const REPLY =
  "Your contract runs for twenty four months and renews every year, unless you cancel it three months before it ends, in writing or by telephone.";
const INTERRUPTION = "Can I speak to a manager please?";
const ANSWER = "Of course.";
/** Pauses within the reply are joined up to this; what is left audible after it is not the reply. */
const JOIN_MS = 400;
const ANSWER_TIMEOUT_MS = 12_000;

/** One interruption as it was made. */
interface Interruption {
  readonly offsetMs: number;
  /** Lab time at which the caller began to speak. */
  readonly saidAtMs: number;
  /** The agent's words in the request that brought the interruption; undefined: none came. */
  readonly believed: string | undefined;
  readonly answered: boolean;
}

interface Sweep {
  readonly offsetMs: number;
  readonly answered: boolean;
  /** Undefined when the reply was over before the caller could be heard. */
  readonly silenceAfterMs: number | undefined;
  /** How much of the reply could be heard. */
  readonly audibleMs: number;
  /** How much of that the machine lost; what was heard then says nothing about the agent. */
  readonly lostMs: number;
  /** Words in the model's history, and words that had begun at the caller's ear. */
  readonly believed: number;
  readonly audible: number;
}

async function interrupt(
  { lab }: Bench,
  call: BenchCall,
  spans: readonly RecordedSpan[],
  offsetMs: number,
): Promise<Interruption> {
  const replies = firstAudios(spans).length;
  await call.say(QUESTION);
  while (firstAudios(spans).length === replies) await sleep(5);
  await sleep(offsetMs);
  const saidAtMs = lab.clock.now();
  const from = lab.trace.events.length;
  await call.say(INTERRUPTION);
  const answered = await lab.trace
    .waitFor(
      (event) =>
        event.type === "heard" &&
        event.kind === "phrase" &&
        event.call === call.id &&
        event.text.includes(ANSWER),
      { timeoutMs: ANSWER_TIMEOUT_MS, what: `“${ANSWER}” after ${offsetMs} ms`, from },
    )
    .then(() => true)
    .catch(() => false);
  return { offsetMs, saidAtMs, answered, believed: believedText(lab.trace.events.slice(from)) };
}

function firstAudios(spans: readonly RecordedSpan[]): number[] {
  const turns = spans.filter(({ name }) => name === "turn");
  return turns.flatMap(({ events }) => events.get("first audio") ?? []);
}

/** The agent's words in the request that brings the interruption. */
function believedText(events: Bench["lab"]["trace"]["events"]): string | undefined {
  for (const event of events) {
    if (event.type !== "http" || event.service !== "openai") continue;
    const { messages } = JSON.parse(String(event.request)) as {
      messages: { role: string; content: string }[];
    };
    if (messages.at(-1)?.content !== INTERRUPTION) continue;
    const before = messages.at(-2);
    return before?.role === "assistant" ? before.content : "";
  }
  return undefined;
}

function evaluate(
  call: BenchCall,
  interruptions: readonly Interruption[],
  wordStartsMs: readonly number[],
): Sweep[] {
  const heard = audibleSpans(call.heard(), JOIN_MS);
  const said = audibleSpans(call.said());
  return interruptions.map(({ offsetMs, saidAtMs, answered, believed }) => {
    const spoke = said.find(({ startMs }) => startMs >= saidAtMs - 20);
    const over = heard.find(
      ({ startMs, endMs }) =>
        spoke !== undefined &&
        startMs < spoke.startMs &&
        // The caller may begin in a pause of the reply.
        endMs > spoke.startMs - JOIN_MS,
    );
    const audibleMs = over === undefined ? Number.POSITIVE_INFINITY : over.endMs - over.startMs;
    return {
      offsetMs,
      answered,
      silenceAfterMs:
        over === undefined || spoke === undefined
          ? undefined
          : Math.max(0, over.endMs - spoke.startMs),
      audibleMs,
      lostMs: over === undefined ? 0 : lostWithin(call.gaps, over),
      believed: believed?.split(/\s+/).filter((word) => word !== "").length ?? Number.NaN,
      audible: wordStartsMs.filter((startMs) => startMs < audibleMs).length,
    };
  });
}

function lostWithin(gaps: BenchCall["gaps"], { startMs, endMs }: Span): number {
  const within = gaps.filter((gap) => gap.endMs > startMs && gap.startMs < endMs);
  return within.reduce((sum, gap) => sum + gap.endMs - gap.startMs, 0);
}

/** When each word of the reply begins, from its first sound. */
async function replyWords(voice: string): Promise<number[]> {
  await using synthesiser = await startSynthesiser();
  const { words } = await synthesiser.synthesise({ text: REPLY, voice });
  return words.map(({ startMs }) => startMs - (words[0]?.startMs ?? 0));
}

/** One call, interrupted once at every offset. */
async function sweepCall(offsets: readonly number[]): Promise<Sweep[]> {
  await using bench = await startBench();
  const { lab } = bench;
  const spans = recordSpans(() => performance.now());
  lab.script.when(QUESTION).says(REPLY);
  lab.script.when(INTERRUPTION).says(ANSWER);
  const words = await replyWords(lab.agentEnvironment["SPEECH_VOICE"] ?? "");
  const call = await callAgent(bench, "+14255550100");
  const interruptions: Interruption[] = [];
  for (const offsetMs of offsets) {
    interruptions.push(await interrupt(bench, call, spans, offsetMs));
  }
  const sweeps = evaluate(call, interruptions, words);
  await lab.hangUpAll();
  return sweeps;
}

function sweepInThread(offsets: readonly number[]): Promise<Sweep[]> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: offsets });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

function report(sweeps: readonly Sweep[]): void {
  for (const sweep of sweeps) {
    const { offsetMs, silenceAfterMs, audibleMs, lostMs, answered, believed, audible } = sweep;
    const lost = lostMs === 0 ? "" : `   the machine lost ${lostMs.toFixed(0)} ms`;
    const silence = silenceAfterMs === undefined ? "was over" : `${silenceAfterMs.toFixed(0)} ms`;
    console.log(
      `${String(offsetMs).padStart(6)} ms   silent after ${silence.padStart(8)}   believed ${believed} of ${audible} audible words in ${audibleMs.toFixed(0)} ms${lost}${answered ? "" : "   missed"}`,
    );
  }
  const over = sweeps.filter(({ silenceAfterMs }) => silenceAfterMs !== undefined);
  const silences = over.flatMap(({ silenceAfterMs }) => silenceAfterMs ?? []);
  const beyond = over.filter(({ believed, audible }) => believed > audible);
  const short = over.filter(({ believed, audible }) => audible - believed > 1);
  const [p50, p95] = [0.5, 0.95].map((share) => percentile(silences, share).toFixed(0));
  console.log(`${over.length} of ${sweeps.length} interruptions fell into the reply`);
  console.log(`missed: ${sweeps.filter(({ answered }) => !answered).length}`);
  console.log(
    `silence after the interruption: p50 ${p50} ms, p95 ${p95} ms, longest ${Math.max(...silences).toFixed(0)} ms`,
  );
  console.log(
    `believed words never played: ${beyond.length}; more than one audible word missing: ${short.length}`,
  );
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      from: { type: "string", default: "200" },
      to: { type: "string", default: "8600" },
      step: { type: "string", default: "480" },
      lanes: { type: "string", default: "1" },
    },
  });
  const [from, to, step, lanes] = [options.from, options.to, options.step, options.lanes].map(
    Number,
  ) as [number, number, number, number];
  const offsets = Array.from(
    { length: Math.floor((to - from) / step) + 1 },
    (_, index) => from + index * step,
  );
  const shares = Array.from({ length: lanes }, (_, lane) =>
    offsets.filter((_offset, index) => index % lanes === lane),
  );
  const swept = await Promise.all(shares.map(sweepInThread));
  report(swept.flat().toSorted((a, b) => a.offsetMs - b.offsetMs));
}

if (isMainThread) {
  await main();
  process.exit(0);
} else {
  parentPort?.postMessage(await sweepCall(workerData as number[]), []);
}
