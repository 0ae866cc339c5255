import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { judge, type Outcome, readMocha, readTap } from "./names.ts";
import {
  type DaemonProcess,
  prepareSuite,
  type Suite,
  startDaemon,
  startPeers,
} from "./testbed.ts";

// Runs drachtio-srf's own tests (they ship in its npm package) against the embedded daemon, without
// Docker: sipp has to be on the PATH (Debian: sip-tester). Options: --packages DIRECTORY with mocha,
// tape and config installed (default: `npm ci` into a temporary one), --only b2b,uac,…, --record.

const HERE = import.meta.dirname;
const ROOT = resolve(HERE, "../..");
const EXPECTED = join(HERE, "expected-names.txt");
/** In the suite's own order. */
const FILES = ["b2b", "reinvite-tests", "uac", "uas", "proxy", "utils", "refer"];

const { values } = parseArgs({
  options: {
    packages: { type: "string" },
    only: { type: "string" },
    record: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
  },
});

async function runNode(args: string[], environment: NodeJS.ProcessEnv, cwd: string) {
  const child = spawn(process.execPath, args, {
    cwd,
    env: environment,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  if (values.verbose) child.stdout.pipe(process.stderr);
  const output = await text(child.stdout);
  await exited;
  return output;
}

async function installPackages(): Promise<{ directory: string } & Disposable> {
  if (values.packages !== undefined) return { directory: values.packages, [Symbol.dispose]() {} };
  const directory = join(tmpdir(), `drachtio-suite-packages-${process.pid}`);
  mkdirSync(directory);
  for (const name of ["package.json", "package-lock.json"]) {
    cpSync(join(HERE, name), join(directory, name));
  }
  const npm = spawn("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: directory,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [code] = await once(npm, "exit");
  if (code !== 0) throw new Error(`npm ci for the suite's packages ended with ${code}`);
  return {
    directory,
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

interface Bed {
  suite: Suite;
  packages: string;
  underTest: DaemonProcess;
  second: DaemonProcess;
}

function environmentOf({ suite, packages, underTest, second }: Bed): NodeJS.ProcessEnv {
  const secret = "cymru";
  const config = {
    "drachtio-sut": { ...underTest.control, secret, enablePing: true, pingInterval: 5_000 },
    "drachtio-uas": { ...second.control, secret },
  };
  return {
    ...process.env,
    NODE_ENV: "test",
    NODE_CONFIG: JSON.stringify(config),
    NODE_CONFIG_DIR: join(suite.directory, "config"),
    NODE_PATH: [join(packages, "node_modules"), join(ROOT, "node_modules")].join(delimiter),
    PATH: [join(HERE, "bin"), process.env["PATH"]].join(delimiter),
    SUITE_SCENARIOS: suite.scenarios,
    SUITE_TARGET: underTest.sip,
    SUITE_NAMES: [...suite.names].map(([name, address]) => `${name}=${address}`).join("\n"),
  };
}

async function runSuite(bed: Bed, files: readonly string[]): Promise<Outcome[]> {
  const { suite, packages } = bed;
  const environment = environmentOf(bed);
  const mocha = join(packages, "node_modules/mocha/bin/mocha.js");
  const outcomes: Outcome[] = [];
  if (values.only === undefined) {
    const args = [mocha, "--reporter", "json", "test/unit-tests/"];
    outcomes.push(...readMocha(await runNode(args, environment, suite.directory)));
  }
  const entry = join(suite.directory, "test/embedded.js");
  writeFileSync(entry, files.map((name) => `require('./${name}');`).join("\n"));
  const tap = await runNode([entry], environment, suite.directory);
  return [...outcomes, ...readTap(tap)];
}

async function main(): Promise<number> {
  const files = values.only?.split(",") ?? FILES;
  using packages = await installPackages();
  using suite = prepareSuite();
  using _peers = await startPeers(suite);
  await using underTest = await startDaemon("sip:127.0.0.1:0;transport=udp", suite.names);
  await using second = await startDaemon("sip:127.29.0.19:5060;transport=udp", suite.names);
  const startedAt = Date.now();
  const bed = { suite, packages: packages.directory, underTest, second };
  const outcomes = await runSuite(bed, files);
  const passed = outcomes.filter((outcome) => outcome.passed).length;
  const seconds = ((Date.now() - startedAt) / 1_000).toFixed(1);
  console.log(`${passed} of ${outcomes.length} assertions passed in ${seconds} s`);
  const names = outcomes.map(({ name }) => name);
  if (values.record) writeFileSync(EXPECTED, `${names.join("\n")}\n`);
  const expected = readFileSync(EXPECTED, "utf8").trimEnd().split("\n");
  const faults = judge(outcomes, values.only === undefined ? expected : names);
  for (const fault of faults) console.log(fault);
  return faults.length === 0 ? 0 : 1;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main();
