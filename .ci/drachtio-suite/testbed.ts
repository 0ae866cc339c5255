import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const HERE = import.meta.dirname;
const ROOT = resolve(HERE, "../..");

/** A sipp UAS of drachtio-srf's compose file. */
interface Peer {
  name: string;
  address: string;
  scenario: string;
}

/** A copy of drachtio-srf whose tests run on this machine instead of in a Docker network. */
export interface Suite extends Disposable {
  directory: string;
  scenarios: string;
  peers: readonly Peer[];
  /** Name and address of everything the daemon under test has to find. */
  names: ReadonlyMap<string, string>;
}

/** The UAS of the second daemon in the compose file, and one that a test starts itself. */
const OTHER_NAMES = { "drachtio-uas": "127.29.0.19", "sipp-uas-b-teardown": "127.29.0.40" };

/** Copies the package and changes its environment only: addresses, and XML that sipp refuses. */
export function prepareSuite(): Suite {
  const directory = mkdtempSync(join(tmpdir(), "drachtio-suite-"));
  const copy = join(directory, "drachtio-srf");
  cpSync(join(ROOT, "node_modules/drachtio-srf"), copy, { recursive: true });
  const tests = join(copy, "test");
  for (const name of readdirSync(tests, { recursive: true, encoding: "utf8" })) {
    if (/\.(?:js|xml)$/.test(name)) adapt(join(tests, name));
  }
  const compose = readFileSync(join(tests, "docker-compose-testbed.yaml"), "utf8");
  const peers = peersOf(compose);
  const names = new Map(Object.entries(OTHER_NAMES));
  for (const { name, address } of peers) names.set(name, address);
  return {
    directory: copy,
    scenarios: join(tests, "scenarios"),
    peers,
    names,
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

function adapt(file: string): void {
  const text = readFileSync(file, "utf8");
  const adapted = text
    .replaceAll(/\b172\.29\.0\.(\d+)/g, "127.29.0.$1")
    .replaceAll('regexp="<sip:(.*)>"', 'regexp="&lt;sip:(.*)&gt;"');
  if (adapted !== text) writeFileSync(file, adapted);
}

function peersOf(compose: string): Peer[] {
  return compose.split(/\n\n/).flatMap((service) => {
    const [, name] = /container_name: (\S+)/.exec(service) ?? [];
    const [, scenario] = /sipp -sf \/tmp\/(\S+)/.exec(service) ?? [];
    const [, last] = /ipv4_address: 172\.29\.0\.(\d+)/.exec(service) ?? [];
    if (name === undefined || scenario === undefined || last === undefined) return [];
    return [{ name, address: `127.29.0.${last}`, scenario }];
  });
}

const BIND_DEADLINE_MS = 10_000;

/** Starts the sipp UASs and waits until each has its port. */
export async function startPeers(suite: Suite): Promise<Disposable> {
  const processes = suite.peers.map(({ address, scenario }) =>
    spawn(
      "sipp",
      ["-sf", join(suite.scenarios, scenario), "-i", address, "-p", "5060", "-nostdin"],
      {
        stdio: "ignore",
        cwd: suite.directory,
      },
    ),
  );
  const stop = { [Symbol.dispose]: () => processes.forEach((child) => child.kill("SIGKILL")) };
  // Also when the runner is interrupted: nothing else would end them.
  process.once("exit", stop[Symbol.dispose]);
  const missing = await unbound(suite.peers);
  if (missing.length === 0) return stop;
  stop[Symbol.dispose]();
  throw new Error(`no port 5060 after ${BIND_DEADLINE_MS} ms: ${missing.join(", ")}`);
}

async function unbound(peers: readonly Peer[]): Promise<string[]> {
  for (let waitedMs = 0; ; waitedMs += 50) {
    const bound = readFileSync("/proc/net/udp", "utf8");
    const missing = peers.filter(({ address }) => !bound.includes(`${hexOf(address)}:13C4 `));
    if (missing.length === 0 || waitedMs >= BIND_DEADLINE_MS)
      return missing.map(({ name }) => name);
    await sleep(50);
  }
}

/** As `/proc/net/udp` writes addresses: little endian, hexadecimal. */
function hexOf(address: string): string {
  const bytes = address.split(".").map((octet) => Number(octet).toString(16).padStart(2, "0"));
  return bytes.toReversed().join("").toUpperCase();
}

export interface DaemonProcess extends AsyncDisposable {
  control: { host: string; port: number };
  /** `host:port` where it speaks SIP over UDP. */
  sip: string;
}

/** Starts the embedded daemon as a process of its own. */
export async function startDaemon(
  contact: string,
  names: ReadonlyMap<string, string>,
): Promise<DaemonProcess> {
  const hosts = [...names].flatMap(([name, address]) => ["--host", `${name}=${address}:5060`]);
  const args = ["simulator/drachtio/main.ts", "--contact", contact, "--port", "0", ...hosts];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  for await (const line of createInterface({ input: child.stdout })) {
    const [, host, port, sip] = /^ready control=(\S+):(\d+) sip=udp\/(\S+)$/.exec(line) ?? [];
    if (host === undefined || sip === undefined) continue;
    return {
      control: { host, port: Number(port) },
      sip,
      async [Symbol.asyncDispose]() {
        child.kill("SIGTERM");
        await exited;
      },
    };
  }
  throw new Error("the daemon ended before it was ready");
}
