import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseFault, parseSetting } from "../faults.ts";
import { DIALOGUE_OPTIONS, type Recording, recordingOf } from "./dialogue.ts";
import {
  portBase,
  positiveInteger,
  readArguments,
  UsageError,
  usesRunningDaemons,
  webhookUrl,
} from "./usage.ts";

/** Where linecheck itself is installed: its vitest configuration and its scenarios. */
const HOME = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

const REPORTERS: Record<string, string> = {
  progress: join(HOME, "scenarios/harness/reporter.ts"),
  junit: "junit",
  json: "json",
  verbose: "verbose",
};

/** Where a reporter that prints nothing leaves its results, in the folder of the run. */
const RESULTS: Record<string, string> = { junit: "junit.xml", json: "results.json" };

/** Writes the report's pages, whatever is printed. */
const PAGES = join(HOME, "scenarios/harness/page-reporter.ts");

/** `linecheck run`: the scenarios in processes of the test runner. The exit code is the runner's. */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments({
    args,
    allowPositionals: true,
    options: {
      fault: { type: "string", multiple: true, default: [] },
      agent: { type: "string" },
      "port-base": { type: "string", default: "8900" },
      "agent-env": { type: "string", multiple: true, default: [] },
      title: { type: "string" },
      repeat: { type: "string", default: "1" },
      disorder: { type: "string" },
      reporter: { type: "string", default: "progress" },
      out: { type: "string", default: "out" },
      recogniser: { type: "string" },
      ...DIALOGUE_OPTIONS,
    },
  });
  const recording = recordingOf(values, process.env["LINECHECK_MODEL_KEY"]);
  const reporter = reporterFile(values.reporter);
  const results = RESULTS[values.reporter];
  for (const file of positionals) checkFile(file);
  check("--fault", values.fault, parseFault);
  check("--agent-env", values["agent-env"], parseSetting);
  checkAgent(values.agent, values["agent-env"]);
  const out = resolve(values.out);
  const before = recording === undefined ? undefined : recordedAt(recording.name);
  const code = await startRunner(
    [
      ...positionals.map((file) => resolve(file)),
      `--reporter=${reporter}`,
      `--reporter=${PAGES}`,
      // An agent or daemons that run already can serve one lab at a time.
      ...(values.agent === undefined && !usesRunningDaemons(process.env)
        ? []
        : ["--no-file-parallelism"]),
      ...(results === undefined ? [] : [`--outputFile=${join(out, results)}`]),
      ...(values.title === undefined ? [] : [`--testNamePattern=${RegExp.escape(values.title)}`]),
    ],
    {
      LINECHECK_OUT: out,
      LINECHECK_FAULTS: values.fault.join("\n"),
      LINECHECK_AGENT_ENV: values["agent-env"].join("\n"),
      ...(values.agent === undefined
        ? {}
        : {
            LINECHECK_AGENT: webhookUrl("--agent", values.agent),
            LINECHECK_PORT_BASE: String(portBase(values["port-base"])),
          }),
      ...recordingEnvironment(recording),
      ...(values.recogniser === undefined ? {} : { LINECHECK_RECOGNISER: values.recogniser }),
      ...(values.title === undefined ? {} : { LINECHECK_TITLE: values.title }),
      LINECHECK_REPEAT: String(positiveInteger("--repeat", values.repeat)),
      ...(values.disorder === undefined
        ? {}
        : { LINECHECK_DISORDER: String(positiveInteger("--disorder", values.disorder)) }),
    },
  );
  if (recording !== undefined) checkRecorded(recording.name, before);
  return code;
}

function reporterFile(name: string): string {
  const file = REPORTERS[name];
  if (file !== undefined) return file;
  const known = Object.keys(REPORTERS).join(", ");
  throw new UsageError(`--reporter: expected one of ${known}, got ${JSON.stringify(name)}`);
}

/** Whoever mistypes a name would otherwise keep the old recording and not know. */
function checkRecorded(name: string, before: bigint | undefined): void {
  if (recordedAt(name) !== before) return;
  throw new UsageError(
    `--record-dialogue: nothing was recorded: no scenario that ran has the dialogue ${JSON.stringify(name)} and got an answer of the model`,
  );
}

/** When the dialogue's file was last written; undefined if there is none. */
function recordedAt(name: string): bigint | undefined {
  const file = join(HOME, "fixtures/dialogues", `${name}.json`);
  return statSync(file, { bigint: true, throwIfNoEntry: false })?.mtimeNs;
}

/** The key is in the environment already. */
function recordingEnvironment(recording: Recording | undefined): Record<string, string> {
  if (recording === undefined) return {};
  const { name, endpoint } = recording;
  return {
    LINECHECK_RECORD_DIALOGUE: name,
    LINECHECK_MODEL_ENDPOINT: endpoint.url,
    ...(endpoint.model === undefined ? {} : { LINECHECK_MODEL: endpoint.model }),
  };
}

function check(option: string, texts: readonly string[], parse: (text: string) => unknown): void {
  for (const text of texts) {
    try {
      parse(text);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new UsageError(`${option}: ${reason}`, { cause: error });
    }
  }
}

function checkAgent(agent: string | undefined, settings: readonly string[]): void {
  if (agent === undefined || settings.length === 0) return;
  throw new UsageError("--agent-env changes the bundled agent: it has no use with --agent");
}

function checkFile(file: string): void {
  if (!existsSync(file)) throw new UsageError(`no such scenario file or folder: ${file}`);
  const isScenario = file.endsWith(".scenario.ts") || statSync(file).isDirectory();
  const isHere = !relative(join(HOME, "scenarios"), resolve(file)).startsWith("..");
  if (isScenario && isHere) return;
  throw new UsageError(
    `expected a folder or a .scenario.ts file under ${join(HOME, "scenarios")}, got ${file}`,
  );
}

async function startRunner(args: string[], environment: Record<string, string>): Promise<number> {
  const runner = join(HOME, "node_modules/vitest/vitest.mjs");
  const child = spawn(
    process.execPath,
    [runner, "run", "--root", HOME, "--project", "scenario", ...args],
    { stdio: "inherit", env: { ...process.env, ...environment } },
  );
  const forward = (signal: NodeJS.Signals) => child.kill(signal);
  process.once("SIGINT", forward).once("SIGTERM", forward);
  const [code] = await once(child, "exit");
  return typeof code === "number" ? code : 1;
}
