import { readConfig } from "../agent/config.ts";
import { type Agent, startAgent } from "../agent/service.ts";
import { type Lab, startLab } from "../simulator/lab.ts";

export const GREETING = "How can I help you today?";
export const CALLER_VOICE = "en-US-AndrewNeural";
export const AGENT_VOICE = "en-US-AvaMultilingualNeural";
const UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen"];
const MORE = ["fifteen", "sixteen", "seventeen", "eighteen", "nineteen"];
export const NUMBERS: readonly string[] = [
  ...UNITS,
  ...TEENS,
  ...MORE,
  ...["twenty", "thirty", "forty"].flatMap((ten) => [
    ten,
    ...UNITS.map((unit) => `${ten} ${unit}`),
  ]),
];

/** A question that no other call asks, and its answer. */
export function turnOf(call: number, topic: string): { question: string; reply: string } {
  const number = NUMBERS[call];
  return {
    question: `Please tell me about ${topic} number ${number}.`,
    reply: `The ${topic} number ${number} is ready for you today.`,
  };
}

/** Scripts the answer and synthesises both beforehand. */
export async function prepareTurn(
  lab: Lab,
  { question, reply }: ReturnType<typeof turnOf>,
): Promise<void> {
  lab.script.when(question).says(reply);
  await lab.voices.audioOf(question, CALLER_VOICE);
  await lab.voices.audioOf(reply, AGENT_VOICE);
}
const STEP_TIMEOUT_MS = 20_000;

/** A lab with the bundled agent in it, in one process. */
export interface Bench extends AsyncDisposable {
  readonly lab: Lab;
  readonly agent: Agent;
}

export type BenchCall = Awaited<ReturnType<Lab["call"]>>;

export async function startBench(env: Readonly<Record<string, string>> = {}): Promise<Bench> {
  const opened = new AsyncDisposableStack();
  const lab = opened.use(await startLab());
  const settings = { ...lab.agentEnvironment, AGENT_PREPARED_PHRASES: "off", ...env };
  const agent = opened.use(await startAgent(readConfig(settings)));
  await lab.useAgent(agent.webhookUrl);
  return { lab, agent, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** Calls, goes through the IVR, and waits until the agent has greeted. */
export async function callAgent({ lab }: Bench, from: string): Promise<BenchCall> {
  const call = await lab.call("+18005551234", { from });
  await hears(lab, call, "press two");
  await call.press("2");
  await hears(lab, call, GREETING);
  return call;
}

/** Waits until the caller has heard a phrase with these words; resolves with when they heard it. */
export async function hears(lab: Lab, call: BenchCall, text: string): Promise<number> {
  const event = await lab.trace.waitFor(
    (entry) =>
      entry.type === "heard" &&
      entry.kind === "phrase" &&
      entry.call === call.id &&
      entry.text.includes(text),
    { timeoutMs: STEP_TIMEOUT_MS, what: `“${text}” at the caller's ear` },
  );
  return event.at;
}
