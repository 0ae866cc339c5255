/**
 * Interruptions swept over one reply: `node bench/barge-in.ts [--from 200] [--to 6000] [--step 480]`
 * (milliseconds into the reply). For each: how long the caller still hears the agent, and what the
 * model is told the caller has heard, against what the recording of their line holds.
 */
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type RecordedSpan, recordSpans } from "../agent/testing/span-recorder.ts";
import { audibleSpans, percentile } from "../scenarios/harness/timing.ts";
import type { Lab } from "../simulator/lab.ts";
import { startSynthesiser } from "../simulator/speech/synthesiser.ts";
import { type Bench, type BenchCall, callAgent, startBench } from "./agent-calls.ts";

const { values: options } = parseArgs({
  options: {
    from: { type: "string", default: "200" },
    to: { type: "string", default: "6000" },
    step: { type: "string", default: "480" },
  },
});

const QUESTION = "What are the terms of my contract?";
const REPLY =
  "Your contract runs for twenty four months and renews every year, unless you cancel it three months before it ends, in writing or by telephone.";
const INTERRUPTION = "Can I speak to a manager please?";
const ANSWER = "Of course.";
/** Pauses within the reply are joined up to this; what is left audible after it is not the reply. */
const JOIN_MS = 400;

interface Sweep {
  readonly offsetMs: number;
  readonly silenceAfterMs: number;
  /** Words in the model's history, and words that had begun at the caller's ear. */
  readonly believed: number;
  readonly audible: number;
}

async function interrupt(
  bench: Bench,
  call: BenchCall,
  spans: readonly RecordedSpan[],
  offsetMs: number,
): Promise<void> {
  const replies = firstAudios(spans).length;
  await call.say(QUESTION);
  while (firstAudios(spans).length === replies) await sleep(5);
  await sleep(offsetMs);
  await call.say(INTERRUPTION);
  const answered = bench.lab.trace.events.length;
  await bench.lab.trace.waitFor(
    (event) =>
      event.type === "heard" &&
      event.kind === "phrase" &&
      event.call === call.id &&
      event.text.includes(ANSWER),
    { timeoutMs: 20_000, what: `“${ANSWER}” after ${offsetMs} ms`, from: answered },
  );
}

function firstAudios(spans: readonly RecordedSpan[]): number[] {
  return spans.flatMap(({ events }) => events.get("first audio") ?? []);
}

/** The agent's words in each request that brings an interruption, in order. */
function believedTexts(lab: Lab): string[] {
  return lab.trace.events.flatMap((event) => {
    if (event.type !== "http" || event.service !== "openai") return [];
    const { messages } = JSON.parse(String(event.request)) as {
      messages: { role: string; content: string }[];
    };
    if (messages.at(-1)?.content !== INTERRUPTION) return [];
    const before = messages.at(-2);
    return [before?.role === "assistant" ? before.content : ""];
  });
}

function evaluate(
  lab: Lab,
  call: BenchCall,
  offsets: readonly number[],
  wordStartsMs: readonly number[],
): Sweep[] {
  const heard = audibleSpans(call.heard(), JOIN_MS);
  const believed = believedTexts(lab);
  // Every second thing the caller said after the first is an interruption.
  const said = audibleSpans(call.said()).slice(-2 * offsets.length);
  return offsets.flatMap((offsetMs, index) => {
    const spoke = said[2 * index + 1];
    const over = heard.find(
      ({ startMs, endMs }) =>
        spoke !== undefined && startMs < spoke.startMs && endMs > spoke.startMs - 200,
    );
    if (spoke === undefined || over === undefined) return [];
    const audibleMs = over.endMs - over.startMs;
    return [
      {
        offsetMs,
        silenceAfterMs: Math.max(0, over.endMs - spoke.startMs),
        believed: believed[index]?.split(/\s+/).filter((word) => word !== "").length ?? Number.NaN,
        audible: wordStartsMs.filter((startMs) => startMs < audibleMs).length,
      },
    ];
  });
}

/** When each word of the reply begins, from its first sound. */
async function replyWords(voice: string): Promise<number[]> {
  await using synthesiser = await startSynthesiser();
  const { words } = await synthesiser.synthesise({ text: REPLY, voice });
  return words.map(({ startMs }) => startMs - (words[0]?.startMs ?? 0));
}

await using bench = await startBench();
const { lab } = bench;
const spans = recordSpans(() => performance.now());
lab.script.when(QUESTION).says(REPLY);
lab.script.when(INTERRUPTION).says(ANSWER);
const [from, to, step] = [options.from, options.to, options.step].map(Number) as [
  number,
  number,
  number,
];
const offsets = Array.from(
  { length: Math.floor((to - from) / step) + 1 },
  (_, index) => from + index * step,
);
const call = await callAgent(bench, "+14255550100");
for (const offsetMs of offsets) await interrupt(bench, call, spans, offsetMs);
const sweeps = evaluate(
  lab,
  call,
  offsets,
  await replyWords(lab.agentEnvironment["SPEECH_VOICE"] ?? ""),
);
for (const { offsetMs, silenceAfterMs, believed, audible } of sweeps) {
  console.log(
    `${String(offsetMs).padStart(6)} ms   silent after ${silenceAfterMs.toFixed(0).padStart(4)} ms   believed ${believed} of ${audible} audible words`,
  );
}
const silences = sweeps.map(({ silenceAfterMs }) => silenceAfterMs);
const beyond = sweeps.filter(({ believed, audible }) => believed > audible);
const short = sweeps.filter(({ believed, audible }) => audible - believed > 1);
console.log(`${sweeps.length} of ${offsets.length} interruptions fell into the reply`);
console.log(
  `silence after the interruption: p50 ${percentile(silences, 0.5).toFixed(0)} ms, p95 ${percentile(silences, 0.95).toFixed(0)} ms`,
);
console.log(
  `believed words never played: ${beyond.length}; more than one audible word missing: ${short.length}`,
);
await lab.hangUpAll();
process.exit(0);
