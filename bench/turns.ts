/**
 * Where a caller's wait goes: `node bench/turns.ts [--calls 1,5] [--turns 4]`. Every turn of
 * scripted calls is taken apart, from the caller's last sound to the first sound they hear of the
 * answer, with the lab's trace, the agent's spans and the recordings of the caller's line.
 */
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { type RecordedSpan, recordSpans } from "../agent/testing/span-recorder.ts";
import { audibleSpans, percentile } from "../scenarios/harness/timing.ts";
import type { Lab } from "../simulator/lab.ts";
import { type Bench, type BenchCall, callAgent, hears, startBench } from "./agent-calls.ts";

const { values: options } = parseArgs({
  options: {
    calls: { type: "string", default: "1,5" },
    turns: { type: "string", default: "4" },
  },
});

/** What the lab's model is scripted to take. */
const FIRST_TOKEN_MS = 150;
const TOKEN_MS = 15;
/** What the agent asks of recognition (`SPEECH_SEGMENTATION_SILENCE_MS`). */
const SEGMENTATION_SILENCE_MS = 500;
/** One frame of the line, plus the window in which the first audible sample is looked for. */
const TOLERANCE_MS = 40;

const TOPICS = [
  "invoice",
  "contract",
  "refund",
  "router",
  "password",
  "upgrade",
  "address",
  "discount",
];
const NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/** Sentences that occur once in a run, so that every event finds its turn. */
function question(call: number, turn: number): string {
  return `Please tell me about ${TOPICS[turn % TOPICS.length]} number ${NUMBERS[call]}.`;
}

function reply(call: number, turn: number): string {
  return `The ${TOPICS[turn % TOPICS.length]} number ${NUMBERS[call]} is ready for you today.`;
}

/** Times of one turn in lab milliseconds, in the order in which they happen. */
const STAGES = [
  "last sound of the caller",
  "end of the phrase recognised",
  "final text sent",
  "model asked",
  "first piece of the answer",
  "first sentence",
  "sentence at the synthesiser",
  "first audio sent",
  "first sound at the caller",
] as const;

type Turn = readonly number[];

async function talk(bench: Bench, index: number, turns: number): Promise<BenchCall> {
  const { lab } = bench;
  const call = await callAgent(bench, `+1425555${String(100 + index).padStart(4, "0")}`);
  for (let turn = 0; turn < turns; turn += 1) {
    lab.script.when(question(index, turn)).says(reply(index, turn));
    await call.say(question(index, turn));
    // A turn that the machine was too busy for is counted as lost, and the next one is tried.
    await hears(lab, call, reply(index, turn)).catch(() => undefined);
  }
  return call;
}

/** Takes one turn apart. Throws the name of the stage that left no mark. */
function takeApart(lab: Lab, call: BenchCall, spans: readonly RecordedSpan[], texts: Texts): Turn {
  const said = texts.question.replace(/\W+$/, "");
  const events = lab.trace.events;
  const at = (what: string, matches: (event: (typeof events)[number]) => boolean) => {
    const event = events.find(matches);
    if (event === undefined) throw new Error(`no “${what}” for “${texts.question}”`);
    return event.at;
  };
  const recognised = at(
    "phrase",
    (event) =>
      event.type === "heard" &&
      event.party === "speech" &&
      event.kind === "phrase" &&
      event.text.includes(said),
  );
  const sent = at(
    "final text",
    (event) =>
      event.type === "socket" &&
      event.kind === "speech.phrase" &&
      JSON.stringify(event.detail).includes(said),
  );
  const prompts = events.filter((event) => event.type === "model" && event.kind === "prompt");
  const number = prompts.findIndex((event) => JSON.stringify(event).includes(said));
  const asked = prompts[number]?.at;
  const id = `chatcmpl-lab${String(number + 1).padStart(6, "0")}`;
  const chat = spans.find(({ attributes }) => attributes["gen_ai.response.id"] === id);
  const ssml = at(
    "ssml",
    (event) =>
      event.type === "socket" &&
      event.kind === "ssml" &&
      String(event.detail).includes(texts.reply),
  );
  const audio = chat?.parent?.events.get("first audio");
  const heard = audibleSpans(call.heard()).find(
    ({ startMs }) => startMs > (audio ?? Number.POSITIVE_INFINITY),
  );
  const lastSound = audibleSpans(call.said()).findLast(({ endMs }) => endMs < sent)?.endMs;
  const times = [
    lastSound,
    recognised,
    sent,
    asked,
    chat?.events.get("first piece"),
    chat?.events.get("first sentence"),
    ssml,
    audio,
    heard?.startMs,
  ];
  return times.map((time, stage) => {
    if (time === undefined) throw new Error(`no “${STAGES[stage]}” for “${texts.question}”`);
    return time;
  });
}

interface Texts {
  readonly question: string;
  readonly reply: string;
}

interface Measured {
  readonly times: Turn;
  readonly reply: string;
}

async function measure(calls: number, turns: number): Promise<Measured[]> {
  await using bench = await startBench();
  const { lab } = bench;
  const origin = lab.clock.now() - performance.now();
  const spans = recordSpans(() => performance.now() + origin);
  const indices = Array.from({ length: calls }, (_, index) => index);
  const lines = await Promise.all(indices.map((index) => talk(bench, index, turns)));
  const measured = lines.flatMap((call, index) =>
    Array.from({ length: turns }, (_, turn) => {
      const texts = { question: question(index, turn), reply: reply(index, turn) };
      return measureTurn(() => takeApart(lab, call, spans, texts), texts.reply);
    }),
  );
  await lab.hangUpAll();
  return measured.filter((turn) => turn !== undefined);
}

function measureTurn(take: () => Turn, text: string): Measured | undefined {
  try {
    return { times: take(), reply: text };
  } catch (error) {
    console.log(`  lost: ${(error as Error).message}`);
    return undefined;
  }
}

/** What is scripted of one turn: the silence that ends a phrase, and the model's pace. */
function scriptedOf(text: string): number {
  return SEGMENTATION_SILENCE_MS + FIRST_TOKEN_MS + TOKEN_MS * text.split(" ").length;
}

function wholeOf(turn: Turn): number {
  return (turn.at(-1) ?? Number.NaN) - (turn[0] ?? Number.NaN);
}

function line(name: string, values: readonly number[]): void {
  const [p50, p95] = [0.5, 0.95].map((share) => percentile(values, share).toFixed(0).padStart(5));
  console.log(`  ${name.padEnd(34)} p50 ${p50}   p95 ${p95} ms`);
}

function report(calls: number, turns: number, measured: readonly Measured[]): void {
  console.log(`\n${calls} call(s), ${measured.length} of ${calls * turns} turns`);
  const times = measured.map((turn) => turn.times);
  for (const [stage, name] of STAGES.entries()) {
    if (stage === 0) continue;
    const parts = times.map(
      (turn) => (turn[stage] ?? Number.NaN) - (turn[stage - 1] ?? Number.NaN),
    );
    line(`→ ${name}`, parts);
  }
  line("response time at the caller's ear", times.map(wholeOf));
  line(
    "overhead beyond scripted delays",
    measured.map((turn) => wholeOf(turn.times) - scriptedOf(turn.reply)),
  );
  const disordered = times.filter((turn) =>
    turn.some((time, stage) => time < (turn[stage - 1] ?? 0) - TOLERANCE_MS),
  );
  console.log(`  turns whose parts are out of order by more than a frame: ${disordered.length}`);
}

for (const calls of options.calls.split(",").map(Number)) {
  const turns = Number(options.turns);
  report(calls, turns, await measure(calls, turns));
}
process.exit(0);
