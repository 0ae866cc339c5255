import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Lab, type LabOptions, startLab } from "../../simulator/lab.ts";
import { textLadder } from "../../simulator/report/ladder.ts";
import type { Trace } from "../../simulator/trace.ts";
import { type AgentFixture, startAgents } from "./agents.ts";
import { filesWith, secretsOf } from "./canaries.ts";
import { openFolder } from "./folder.ts";
import { type CarriesHeaders, carriesHeaders } from "./headers.ts";
import { Line, type WithinOptions } from "./line.ts";
import { type QueueFixture, queueFixture } from "./queue.ts";
import type { RunOptions } from "./run-options.ts";
import type { ScenarioOptions } from "./scenario.ts";
import { Steps } from "./steps.ts";

/** How long everything has to be over after the script's last step. */
const AFTERMATH_TIMEOUT_MS = 8000;
const STEP_TIMEOUT_MS = 15_000;

/** What a scenario's script is given: the parties of the call. */
export interface Fixtures {
  /** The customer. */
  readonly phone: PhoneFixture;
  readonly ivr: Lab["ivr"];
  readonly sbc: SbcFixture;
  readonly acs: AcsFixture;
  readonly agent: AgentFixture;
  /** What the model will say. */
  readonly llm: Lab["script"];
  /** The human queue behind the SBC. */
  readonly queue: QueueFixture;
  readonly trace: Trace;
  readonly lab: Lab;
  /** Aborted when the scenario is over. */
  readonly signal: AbortSignal;
}

export interface PhoneFixture {
  /** Dials and waits until the call is answered. `from` is the caller's own number. */
  call(
    number: string,
    options?: { from?: string; headers?: Record<string, string> } & WithinOptions,
  ): Promise<Line>;
}

export interface SbcFixture {
  /** Waits until ACS calls the trunk Online. */
  isOnline(options?: WithinOptions): Promise<void>;
  /** The trunk's status as ACS sees it. */
  readonly status: ReturnType<Lab["directRouting"]["trunkStatus"]>;
}

export interface AcsFixture {
  /** The next IncomingCall event that ACS posts to the agent. */
  incomingCall(options?: WithinOptions): Promise<CarriesHeaders & { readonly payload: unknown }>;
  /** Waits for a mid-call event of that type, past or to come. */
  event(type: string, options?: WithinOptions): Promise<unknown>;
}

export interface ScenarioRun extends AsyncDisposable {
  readonly fixtures: Fixtures;
  /** Where this scenario's trace, ladder and recordings are. */
  readonly folder: string;
  /** After the script: hangs up what is still up and checks that nothing is left over. */
  finish(): Promise<void>;
}

export interface RunStart {
  readonly title: string;
  /** Which run of this title it is, from 0 (default); more than one with `--repeat`. */
  readonly turn?: number;
  readonly signal: AbortSignal;
  readonly options: ScenarioOptions;
  readonly settings: RunOptions;
  readonly announce: (step: string) => void;
}

export async function startRun(start: RunStart): Promise<ScenarioRun> {
  const { title, turn = 0, signal, options, settings, announce } = start;
  const folder = openFolder(settings.folder, title, turn);
  const opened = new AsyncDisposableStack();
  try {
    const lab = opened.use(
      await startLab({
        ...(settings.disorder === undefined ? {} : { disorder: settings.disorder + turn }),
        ...options.lab,
        folder,
        drachtio: settings.drachtio,
        certificates: settings.certificates,
        recogniser: settings.recogniser,
        speechFolder: settings.speechFolder,
        ...dialogueOf(start),
        ...(settings.services === undefined ? {} : { services: settings.services }),
        faults: [...(options.faults ?? []), ...settings.faults],
      }),
    );
    const agent = opened.use(
      await startAgents(lab, {
        agentUrl: settings.agentUrl,
        settings: { ...options.agent, ...settings.agentEnvironment },
        signal,
      }),
    );
    const steps = new Steps({
      trace: lab.trace,
      traceFile: join(folder, "trace.jsonl"),
      signal,
      announce,
    });
    const fixtures = makeFixtures({ lab, agent, steps, signal });
    return {
      fixtures,
      folder,
      finish: () => finish(fixtures, steps),
      ...closing(opened, lab, folder),
    };
  } catch (error) {
    await opened.disposeAsync();
    throw error;
  }
}

/** Replayed, unless it is the one that is being recorded. */
function dialogueOf({ options, settings }: RunStart): Pick<LabOptions, "dialogue"> {
  const { dialogue: name, lab } = options;
  if (name === undefined) return {};
  const record = settings.recording?.name === name ? settings.recording.endpoint : undefined;
  return { dialogue: { ...lab?.dialogue, name, record } };
}

function closing(opened: AsyncDisposableStack, lab: Lab, folder: string): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      try {
        writeFileSync(join(folder, "ladder.txt"), `${textLadder(lab.trace.events)}\n`);
      } finally {
        await opened.disposeAsync();
      }
      const files = filesWith(folder, secretsOf(lab.agentEnvironment));
      if (files.length > 0) throw new Error(`a secret of the agent stands in ${files.join(", ")}`);
    },
  };
}

interface FixtureParts {
  readonly lab: Lab;
  readonly agent: AgentFixture;
  readonly steps: Steps;
  readonly signal: AbortSignal;
}

function makeFixtures(parts: FixtureParts): Fixtures {
  const { lab, agent, signal } = parts;
  return {
    phone: phoneFixture(parts),
    ivr: lab.ivr,
    sbc: sbcFixture(parts),
    acs: acsFixture(parts),
    agent,
    llm: lab.script,
    queue: queueFixture(parts),
    trace: lab.trace,
    lab,
    signal,
  };
}

function phoneFixture({ lab, steps }: FixtureParts): PhoneFixture {
  return {
    call: (number, { withinMs = STEP_TIMEOUT_MS, ...options } = {}) =>
      steps.run(`customer calls ${number}`, async (signal) => {
        const patience = new AbortController();
        using _deadline = lab.clock.after(withinMs, () =>
          patience.abort(new Error(`not answered within ${withinMs} ms`)),
        );
        const patient = AbortSignal.any([signal, patience.signal]);
        const call = await lab.call(number, { ...options, signal: patient });
        return new Line(call, { trace: lab.trace, steps });
      }),
  };
}

function sbcFixture({ lab, steps }: FixtureParts): SbcFixture {
  return {
    isOnline: ({ withinMs = STEP_TIMEOUT_MS } = {}) =>
      steps.run("the SBC is Online at ACS", (signal) =>
        lab.directRouting.waitForOnline(lab.sbcFqdn, { signal, timeoutMs: withinMs }),
      ),
    get status() {
      return lab.directRouting.trunkStatus(lab.sbcFqdn);
    },
  };
}

function acsFixture({ lab, steps }: FixtureParts): AcsFixture {
  const { trace } = lab;
  const posted = (service: "event-grid" | "callback", type: string, timeoutMs: number) => {
    // The whole name: `Call` is no event.
    const name = new RegExp(`Microsoft\\.Communication\\.${RegExp.escape(type)}\\b`);
    return steps.run(`ACS posts ${type}`, async (signal) => {
      const event = await trace.waitFor(
        (entry) =>
          entry.type === "http" &&
          entry.service === service &&
          name.test(JSON.stringify(entry.request ?? "")),
        { timeoutMs, what: `${type} from ACS`, signal },
      );
      return event.type === "http" ? event.request : undefined;
    });
  };
  return {
    event: (type, { withinMs = STEP_TIMEOUT_MS } = {}) => posted("callback", type, withinMs),
    async incomingCall({ withinMs = STEP_TIMEOUT_MS } = {}) {
      await posted("event-grid", "IncomingCall", withinMs);
      const payload = lab.acs.incomingCalls.at(-1);
      return { payload, ...carriesHeaders(trace, (name) => sipHeaderOf(payload, name)) };
    },
  };
}

/** A header of an IncomingCall's `customContext.sipHeaders`, by name in any case. */
function sipHeaderOf(payload: unknown, name: string): string | undefined {
  const { sipHeaders = {} } =
    (payload as { customContext?: { sipHeaders?: Record<string, string> } } | undefined)
      ?.customContext ?? {};
  const wanted = name.toLowerCase();
  return Object.entries(sipHeaders).find(([key]) => key.toLowerCase() === wanted)?.[1];
}

/** The end of a script is the end of every call: what is still there afterwards has leaked. */
async function finish({ lab, agent }: Fixtures, steps: Steps): Promise<void> {
  await steps.run("nothing is left over", async (signal) => {
    await lab.hangUpAll();
    await lab.waitForQuiet({
      signal,
      timeoutMs: AFTERMATH_TIMEOUT_MS,
      also: () => {
        const calls = agent.activeCalls;
        return calls > 0 ? `${calls} call(s) at the agent` : undefined;
      },
    });
    const [unmatched] = lab.openai.unmatched;
    if (unmatched !== undefined) {
      throw new Error(`the model was asked something that nobody scripted: ${unmatched}`);
    }
  });
}
