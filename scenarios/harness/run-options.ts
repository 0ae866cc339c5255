import { join, resolve } from "node:path";
import { fixedServices, type LabOptions, parseFault, parseSetting } from "../../simulator/lab.ts";
import { outFolder } from "./folder.ts";

type Endpoint = NonNullable<NonNullable<LabOptions["dialogue"]>["record"]>;

const HOME = resolve(import.meta.dirname, "../..");

/**
 * What the command line says to each scenario's process. It travels in the environment, because
 * the test runner starts the processes.
 */
export interface RunOptions {
  /** Where traces, ladders, recordings and the report go. */
  readonly folder: string;
  /** Faults added to every scenario (`--fault`). */
  readonly faults: NonNullable<LabOptions["faults"]>;
  /** Settings that replace the bundled agent's (`--agent-env`). */
  readonly agentEnvironment: Readonly<Record<string, string>>;
  /** An agent that runs already: its webhook for IncomingCall (`--agent`). Default: the bundled one. */
  readonly agentUrl: string | undefined;
  /** Where the services of the lab listen for that agent (`--port-base`). */
  readonly services: LabOptions["services"];
  /** `docker`, or running drachtio daemons, instead of the embedded one. */
  readonly drachtio: string | undefined;
  /** Folder of certificates those daemons were configured with. */
  readonly certificates: string | undefined;
  /** A real recogniser instead of the lab's own (`--recogniser`). */
  readonly recogniser: string | undefined;
  /** Where synthesised speech is kept from run to run (`LINECHECK_SPEECH_FOLDER`). */
  readonly speechFolder: string;
  /** The dialogue that is recorded instead of replayed, and with which model (`--record-dialogue`). */
  readonly recording: { readonly name: string; readonly endpoint: Endpoint } | undefined;
  /** How often each scenario runs (`--repeat`). */
  readonly repeat: number;
  /** The seed of the first run's disorder (`--disorder`); each repeat takes the next. */
  readonly disorder: number | undefined;
}

export function readRunOptions(environment: NodeJS.ProcessEnv): RunOptions {
  const { LINECHECK_PORT_BASE: portBase, LINECHECK_DISORDER: disorder } = environment;
  return {
    folder: outFolder(environment),
    faults: parseList(environment["LINECHECK_FAULTS"]).map(parseFault),
    agentEnvironment: Object.fromEntries(
      parseList(environment["LINECHECK_AGENT_ENV"]).map(parseSetting),
    ),
    agentUrl: environment["LINECHECK_AGENT"],
    services: portBase === undefined ? undefined : fixedServices(Number(portBase)),
    drachtio: environment["LINECHECK_DRACHTIO"],
    certificates: environment["LINECHECK_CERTIFICATES"],
    recogniser: environment["LINECHECK_RECOGNISER"],
    speechFolder:
      environment["LINECHECK_SPEECH_FOLDER"] ?? join(HOME, "node_modules/.cache/linecheck/speech"),
    recording: readRecording(environment),
    repeat: Number(environment["LINECHECK_REPEAT"] ?? "1"),
    disorder: disorder === undefined ? undefined : Number(disorder),
  };
}

function readRecording(environment: NodeJS.ProcessEnv): RunOptions["recording"] {
  const name = environment["LINECHECK_RECORD_DIALOGUE"];
  const url = environment["LINECHECK_MODEL_ENDPOINT"];
  const model = environment["LINECHECK_MODEL"];
  const key = environment["LINECHECK_MODEL_KEY"];
  if (name === undefined || url === undefined || key === undefined) return undefined;
  return { name, endpoint: { url, key, ...(model === undefined ? {} : { model }) } };
}

/** Entries are separated by line breaks: no other character is free in a header's value. */
function parseList(text: string | undefined): string[] {
  return (text ?? "").split("\n").filter((entry) => entry !== "");
}
