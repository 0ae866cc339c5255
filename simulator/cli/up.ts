import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { DialogueError, EngineError, fixedServices, type Lab, NUMBERS, startLab } from "../lab.ts";
import { startControl } from "./control.ts";
import { DIALOGUE_OPTIONS, recordingOf } from "./dialogue.ts";
import { portBase, readArguments, UsageError, usesRunningDaemons, webhookUrl } from "./usage.ts";

/** How long the agent may take to listen. */
const AGENT_TIMEOUT_MS = 60_000;
const DAY_MS = 86_400_000;
const HUMAN_GREETING = "This is the billing team. How may I help you?";
/** How long the probe call may take. */
const PROBE_TIMEOUT_MS = 20_000;

/**
 * `linecheck up`: the lab stays up for a developer's own agent until it is interrupted. Everything
 * that the agent has to be told is printed as `NAME=value`; `READY` comes when a call got through
 * the carrier and the IVR's prompt was heard.
 */
export async function up(args: string[]): Promise<number> {
  const { values } = readArguments({
    args,
    options: {
      subscribe: { type: "string" },
      "port-base": { type: "string" },
      out: { type: "string", default: "out" },
      recogniser: { type: "string" },
      ...DIALOGUE_OPTIONS,
      dialogue: { type: "string" },
    },
  });
  const record = recordingOf(values, process.env["LINECHECK_MODEL_KEY"]);
  const name = record?.name ?? values.dialogue;
  const webhook =
    values.subscribe === undefined ? undefined : webhookUrl("--subscribe", values.subscribe);
  const base = values["port-base"];
  // Refuses daemons whose certificate the lab cannot know.
  usesRunningDaemons(process.env);
  const out = resolve(values.out);
  mkdirSync(out, { recursive: true });
  await using lab = await startLab({
    folder: out,
    drachtio: process.env["LINECHECK_DRACHTIO"],
    certificates: process.env["LINECHECK_CERTIFICATES"],
    contactCentre: true,
    recogniser: values.recogniser,
    ...(name === undefined ? {} : { dialogue: { name, record: record?.endpoint } }),
    ...(base === undefined ? {} : { services: fixedServices(portBase(base)) }),
  }).catch(explain);
  const caFile = join(out, "lab-ca.pem");
  const stateFile = join(out, "lab.json");
  writeFileSync(caFile, lab.ca);
  print(settings(lab, caFile));
  if (webhook !== undefined) await subscribe(lab, webhook);
  await probe(lab);
  await using control = await startControl(lab);
  // A file that is there already would keep its mode.
  rmSync(stateFile, { force: true });
  writeFileSync(stateFile, JSON.stringify(control.address), { mode: 0o600 });
  process.stdout.write("READY\n");
  const over = new AbortController();
  const colleague = answerAtTheQueue(lab, over.signal);
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  over.abort();
  await colleague;
  rmSync(stateFile, { force: true });
  return 0;
}

/** A port that is taken is the user's to free; anything else is ours. */
function explain(error: unknown): never {
  if (error instanceof DialogueError) {
    throw new UsageError(`--dialogue: ${error.message}`, { cause: error });
  }
  if (error instanceof EngineError) {
    throw new UsageError(`--recogniser: ${error.message}`, { cause: error });
  }
  if (!(error instanceof Error && "code" in error && error.code === "EADDRINUSE")) throw error;
  throw new UsageError(`--port-base: a port is taken: ${error.message}`, { cause: error });
}

/** The agent may start after the lab: its webhook is tried until it answers. */
async function subscribe(lab: Lab, webhook: string): Promise<void> {
  const deadlineMs = lab.clock.now() + AGENT_TIMEOUT_MS;
  for (;;) {
    try {
      return await lab.useAgent(webhook);
    } catch (error) {
      const refused = error instanceof Error && /ECONNREFUSED|ECONNRESET/.test(error.message);
      if (!refused || lab.clock.now() > deadlineMs) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new UsageError(`--subscribe: the handshake with ${webhook} failed: ${reason}`, {
          cause: error,
        });
      }
    }
    await lab.clock.sleep(500);
  }
}

function settings(lab: Lab, caFile: string): Record<string, string> {
  const secure = lab.acs.secureConnectionString;
  return {
    ...lab.agentEnvironment,
    ...(secure === undefined ? {} : { ACS_SECURE_CONNECTION_STRING: secure }),
    NODE_EXTRA_CA_CERTS: caFile,
    LINECHECK_SERVICE_NUMBER: NUMBERS.service,
    LINECHECK_SIP_UDP: lab.carrierAddress.udp,
    LINECHECK_SIP_WS: lab.carrierAddress.ws,
  };
}

function print(entries: Record<string, string>): void {
  for (const [name, value] of Object.entries(entries)) process.stdout.write(`${name}=${value}\n`);
}

/** A call of our own: the lab is ready when its first prompt has been heard at a phone. */
async function probe(lab: Lab): Promise<void> {
  const call = await lab.call(NUMBERS.service);
  await lab.trace.waitFor(
    (event) => event.type === "heard" && event.kind === "phrase" && event.call === call.id,
    { timeoutMs: PROBE_TIMEOUT_MS, what: "prompt of the IVR at the probe's phone" },
  );
  await call.hangUp();
}

/** The human agent of a lab that is up: picks up each call, says hello and lets the caller speak. */
async function answerAtTheQueue(lab: Lab, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    try {
      const call = await lab.nextQueueCall({ timeoutMs: DAY_MS, signal: over });
      const line = await call.answer();
      await line.say(HUMAN_GREETING, { signal: over });
    } catch (error) {
      // A caller who gave up while it rang; the next one is served all the same.
      if (!over.aborted) process.stderr.write(`queue: ${String(error)}\n`);
    }
  }
}
