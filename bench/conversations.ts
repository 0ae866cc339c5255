/**
 * Concurrent conversations: `node bench/conversations.ts [--calls 1,5,10,20,30]`. Each call lasts 60 s:
 * menu, greeting, then five questions of its own, one every 10 s, and five answers; the calls begin
 * evenly spread over the first 10 s. What is said was synthesised before. The agent runs in a thread
 * of its own. No ear is put on the callers' lines meanwhile; afterwards their recordings are judged:
 * the recogniser, which also knows the answers of another call, has to find this call's answers and
 * no other sentence, and a gap is what the jitter buffer had to make up, or silence where the
 * answer's own audio speaks. The agent's record has to hold the questions and answers word for word.
 * With --ears the callers' lines are listened to while they speak, as in a scenario.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Store } from "../agent/store.ts";
import {
  audibleSpans,
  longestGapWithin,
  percentile,
  responseTimes,
} from "../scenarios/harness/timing.ts";
import { startVoices } from "../simulator/lab/voices.ts";
import { type Lab, type LabCall, startLab } from "../simulator/lab.ts";
import { findGaps } from "../simulator/media/quality.ts";
import { startRecogniser } from "../simulator/speech/recogniser.ts";
import type { Utterance } from "../simulator/speech/synthesiser.ts";
import { AGENT_VOICE, GREETING, NUMBERS, prepareTurn, turnOf } from "./agent-calls.ts";
import { startAgentThread } from "./agent-thread.ts";

const { values: options } = parseArgs({
  options: {
    calls: { type: "string", default: "1,5,10,20,30" },
    ears: { type: "boolean", default: false },
  },
});

const CALL_MS = 60_000;
const FIRST_QUESTION_MS = 8000;
const TURN_MS = 10_000;
const TOPICS = ["invoice", "contract", "refund", "router", "password"];

function turnsOf(call: number): ReturnType<typeof turnOf>[] {
  return TOPICS.map((topic) => turnOf(call, topic));
}

function numberOf(call: number): string {
  return `+1425555${String(100 + call).padStart(4, "0")}`;
}

async function converse(lab: Lab, index: number, delayMs: number): Promise<LabCall> {
  await sleep(delayMs);
  const startedAt = performance.now();
  const until = (atMs: number) => sleep(Math.max(0, startedAt + atMs - performance.now()));
  const call = await lab.call("+18005551234", { from: numberOf(index), listens: options.ears });
  await until(1000);
  await call.press("2");
  for (const [turn, { question }] of turnsOf(index).entries()) {
    await until(FIRST_QUESTION_MS + turn * TURN_MS);
    await call.say(question);
  }
  await until(CALL_MS);
  await call.hangUp();
  return call;
}

/** What one call looked like from both ends. */
interface Verdict {
  readonly agentRight: boolean;
  readonly callerRight: boolean;
  readonly longestGapMs: number;
  readonly responseMs: readonly number[];
  readonly notes: readonly string[];
}

function judgeRecord(store: Store, index: number): string[] {
  const record = store.calls(1000).find(({ callerNumber }) => callerNumber === numberOf(index));
  if (record === undefined) return ["the agent has no record"];
  const [first, ...said] = store.turns(record.id).map(({ role, text, interrupted }) => {
    return `${role}${interrupted ? " (interrupted)" : ""}: ${text}`;
  });
  const expected = turnsOf(index).flatMap(({ question, reply }) => [
    `caller: ${question}`,
    `agent: ${reply}`,
  ]);
  const notes = first?.includes(GREETING) ? [] : [`begins with “${first}”`];
  const missing = expected.filter((line) => !said.includes(line)).map((line) => `no “${line}”`);
  const more = said.filter((line) => !expected.includes(line)).map((line) => `“${line}”`);
  const swapped = said.join("\n") === expected.join("\n") ? [] : ["not in order"];
  return [...notes, ...missing, ...more, ...(missing.length + more.length > 0 ? [] : swapped)];
}

type Voices = Awaited<ReturnType<typeof startVoices>>;

/** The sentences found in a recording, by a recogniser that knows this call's and another's. */
async function transcribe(voices: Voices, call: LabCall, texts: readonly string[]) {
  await using recogniser = await startRecogniser();
  for (const text of texts) {
    const { samples, rateHz, words } = await voices.synthesiser.synthesise({
      text,
      voice: AGENT_VOICE,
    });
    await recogniser.enrol({ text, audio: { samples, rateHz }, words });
  }
  const phrases: { text: string; startMs: number; endMs: number }[] = [];
  await using ear = recogniser.listen({
    onEvent: ({ type, text, startMs, endMs }) => {
      if (type === "phrase") phrases.push({ text, startMs, endMs });
    },
  });
  const { samples, rateHz } = call.heard();
  ear.accept(samples, rateHz);
  await ear.finish();
  return phrases;
}

async function judgeLine(
  voices: Voices,
  call: LabCall,
  index: number,
): Promise<Omit<Verdict, "agentRight">> {
  const own = turnsOf(index).map(({ reply }) => reply);
  const others = turnsOf((index + 1) % NUMBERS.length).map(({ reply }) => reply);
  const phrases = await transcribe(voices, call, [...own, ...others]);
  const texts = phrases.map(({ text }) => text);
  const heard = call.heard();
  const spans = audibleSpans(heard);
  const replies = await Promise.all(
    own.map((text) => voices.synthesiser.synthesise({ text, voice: AGENT_VOICE })),
  );
  const holes = phrases.flatMap(({ text, startMs, endMs }) => {
    const reply = replies[own.indexOf(text)];
    return reply === undefined ? [] : holesIn(heard, { startMs, endMs }, reply);
  });
  return {
    callerRight: texts.join("\n") === own.join("\n"),
    longestGapMs: Math.max(longestGapWithin(call.gaps, spans), ...holes),
    responseMs: responseTimes(audibleSpans(call.said()), spans),
    notes: own.filter((text) => !texts.includes(text)).map((text) => `not heard: “${text}”`),
  };
}

/** Silences where the sentence speaks. */
function holesIn(
  { samples, rateHz }: ReturnType<LabCall["heard"]>,
  place: { startMs: number; endMs: number },
  said: Utterance,
): number[] {
  const at = (ms: number) => Math.round((ms * rateHz) / 1000);
  const slot = samples.subarray(Math.max(0, at(place.startMs - 300)), at(place.endMs + 300));
  return findGaps({ samples: slot, rateHz }, { said, fromMs: 20 }).map((gap) => gap.durationMs);
}

interface Load {
  readonly cores: number;
  readonly loopP99Ms: number;
  readonly loopMaxMs: number;
}

async function run(calls: number): Promise<{ verdicts: Verdict[]; load: Load }> {
  const folder = mkdtempSync(join(tmpdir(), "conversations-"));
  const database = join(folder, "agent.db");
  await using opened = new AsyncDisposableStack();
  opened.defer(() => rmSync(folder, { recursive: true }));
  const lab = opened.use(await startLab());
  const settings = { AGENT_PREPARED_PHRASES: "off", AGENT_DATABASE: database, LOG_LEVEL: "error" };
  const agent = await startAgentThread({ ...lab.agentEnvironment, ...settings });
  await lab.useAgent(agent.webhookUrl);
  const indices = Array.from({ length: calls }, (_, index) => index);
  for (const turn of indices.flatMap(turnsOf)) await prepareTurn(lab, turn);

  const loop = monitorEventLoopDelay({ resolution: 1 });
  const before = { cpu: process.cpuUsage(), at: performance.now() };
  loop.enable();
  const lines = await Promise.all(
    indices.map((index) => converse(lab, index, (index * TURN_MS) / calls)),
  );
  loop.disable();
  const { user, system } = process.cpuUsage(before.cpu);
  const load = {
    cores: (user + system) / 1000 / (performance.now() - before.at),
    loopP99Ms: loop.percentile(99) / 1e6,
    loopMaxMs: loop.max / 1e6,
  };
  await agent[Symbol.asyncDispose]();
  return { verdicts: await judge(lines, database), load };
}

async function judge(lines: readonly LabCall[], database: string): Promise<Verdict[]> {
  using store = Store.open(database);
  await using voices = await startVoices();
  const verdicts: Verdict[] = [];
  for (const [index, line] of lines.entries()) {
    const record = judgeRecord(store, index);
    const verdict = await judgeLine(voices, line, index);
    const notes = [...record.map((note) => `agent: ${note}`), ...verdict.notes];
    verdicts.push({ ...verdict, agentRight: record.length === 0, notes });
  }
  return verdicts;
}

const HEAD =
  "calls | right at agent | right at caller | longest gap ms | calls with gap > 60 ms | response p50 / p95 ms | cores | loop p99 / max ms";

function report(calls: number, verdicts: readonly Verdict[], load: Load): void {
  const response = verdicts.flatMap(({ responseMs }) => responseMs);
  const row = [
    calls,
    verdicts.filter(({ agentRight }) => agentRight).length,
    verdicts.filter(({ callerRight }) => callerRight).length,
    Math.max(...verdicts.map(({ longestGapMs }) => longestGapMs)).toFixed(0),
    verdicts.filter(({ longestGapMs }) => longestGapMs > 60).length,
    [0.5, 0.95].map((share) => percentile(response, share).toFixed(0)).join(" / "),
    load.cores.toFixed(2),
    `${load.loopP99Ms.toFixed(1)} / ${load.loopMaxMs.toFixed(0)}`,
  ];
  console.log(row.join(" | "));
  for (const [index, { notes }] of verdicts.entries()) {
    for (const note of notes) console.log(`  call ${index + 1}: ${note}`);
  }
}

console.log(HEAD);
for (const calls of options.calls.split(",").map(Number)) {
  const { verdicts, load } = await run(calls);
  report(calls, verdicts, load);
}
process.exit(0);
