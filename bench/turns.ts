/**
 * Where a caller's wait goes: `node bench/turns.ts [--calls 1,5,30] [--turns 4]`. Every turn of
 * scripted calls, a question each 8 s, is taken apart, from the caller's last sound to the first
 * sound they hear of the answer, with the lab's trace, the agent's spans and the recordings of the
 * caller's line. What is said was synthesised before; the agent runs in a thread of its own.
 */
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { RecordedSpan } from "../agent/testing/span-recorder.ts";
import { audibleSpans, percentile } from "../scenarios/harness/timing.ts";
import { type Lab, type LabCall, startLab } from "../simulator/lab.ts";
import { prepareTurn, turnOf } from "./agent-calls.ts";
import { startAgentThread } from "./agent-thread.ts";

const { values: options } = parseArgs({
  options: {
    calls: { type: "string", default: "1,5,30" },
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

const FIRST_QUESTION_MS = 8000;
const TURN_MS = 8000;
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

function turnsOf(call: number, turns: number): Texts[] {
  return TOPICS.slice(0, turns).map((topic) => turnOf(call, topic));
}

async function talk(lab: Lab, index: number, { calls, turns }: Size): Promise<LabCall> {
  await sleep((index * TURN_MS) / calls);
  const startedAt = performance.now();
  const until = (atMs: number) => sleep(Math.max(0, startedAt + atMs - performance.now()));
  const from = `+1425555${String(100 + index).padStart(4, "0")}`;
  const call = await lab.call("+18005551234", { from, listens: false });
  await until(1000);
  await call.press("2");
  for (const [turn, { question }] of turnsOf(index, turns).entries()) {
    await until(FIRST_QUESTION_MS + turn * TURN_MS);
    await call.say(question);
  }
  await until(FIRST_QUESTION_MS + turns * TURN_MS);
  return call;
}

interface Traces {
  readonly lab: Lab["trace"]["events"];
  readonly agent: readonly RecordedSpan[];
  /** Lab time less milliseconds since 1970. */
  readonly originMs: number;
}

/** Takes one turn apart. Throws the name of the stage that left no mark. */
function takeApart(
  call: LabCall,
  texts: Texts,
  { lab: events, agent: spans, originMs }: Traces,
): Turn {
  const said = texts.question.replace(/\W+$/, "");
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
  const inLab = (ms: number | undefined) => (ms === undefined ? undefined : ms + originMs);
  const audio = inLab(chat?.parent?.events.get("first audio"));
  const heard = audibleSpans(call.heard()).find(
    ({ startMs }) => startMs > (audio ?? Number.POSITIVE_INFINITY),
  );
  const lastSound = audibleSpans(call.said()).findLast(({ endMs }) => endMs < sent)?.endMs;
  const times = [
    lastSound,
    recognised,
    sent,
    asked,
    inLab(chat?.events.get("first piece")),
    inLab(chat?.events.get("first sentence")),
    ssml,
    audio,
    heard?.startMs,
  ];
  return times.map((time, stage) => {
    if (time === undefined) throw new Error(`no “${STAGES[stage]}” for “${texts.question}”`);
    return time;
  });
}

type Texts = ReturnType<typeof turnOf>;

interface Size {
  readonly calls: number;
  readonly turns: number;
}

interface Measured {
  readonly times: Turn;
  readonly reply: string;
}

async function measure({ calls, turns }: Size): Promise<Measured[]> {
  await using lab = await startLab();
  const settings = { ...lab.agentEnvironment, AGENT_PREPARED_PHRASES: "off", LOG_LEVEL: "error" };
  await using agent = await startAgentThread(settings);
  await lab.useAgent(agent.webhookUrl);
  const indices = Array.from({ length: calls }, (_, index) => index);
  for (const turn of indices.flatMap((index) => turnsOf(index, turns)))
    await prepareTurn(lab, turn);
  const lines = await Promise.all(indices.map((index) => talk(lab, index, { calls, turns })));
  const originMs = lab.clock.now() - (performance.timeOrigin + performance.now());
  const traces = { lab: lab.trace.events, agent: await agent.spans(), originMs };
  const measured = lines.flatMap((call, index) =>
    turnsOf(index, turns).map((texts) =>
      measureTurn(() => takeApart(call, texts, traces), texts.reply),
    ),
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

function report({ calls, turns }: Size, measured: readonly Measured[]): void {
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
  const size = { calls, turns: Math.min(Number(options.turns), TOPICS.length) };
  report(size, await measure(size));
}
process.exit(0);
