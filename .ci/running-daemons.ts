import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";

// Scenarios with the SIP applications on daemons that were there before the lab: four processes of
// the embedded one, with the flags that drachtio-server has in docker/compose.drachtio.yaml.
//
//   node .ci/running-daemons.ts [files…]     default: the three that say most about daemons
//
// A scenario that is skipped fails the lane: everything it needs is here.

const ROOT = resolve(import.meta.dirname, "..");
const CLI = join(ROOT, "simulator/cli.ts");
const FILES = ["header-passing", "escalation", "wrong-certificate"].map(
  (name) => `scenarios/${name}.scenario.ts`,
);

const udp = "sip:127.0.0.1:0;transport=udp";
const ws = "sip:127.0.0.1:0;transport=ws";
const tls = "sips:127.0.0.1:0;transport=tls";

/** In the order in which `LINECHECK_DRACHTIO` names them: carrier, IVR, queue, SBC. */
function contactsOf(certificates: string): string[][] {
  const files = ["--key-file", "sbc-key.pem", "--cert-file", "sbc.pem"];
  const inFolder = files.map((word) => (word.endsWith(".pem") ? join(certificates, word) : word));
  return [
    ["--contact", udp, "--contact", ws],
    ["--contact", udp],
    ["--contact", udp, "--contact", ws],
    ["--contact", udp, "--contact", tls, ...inFolder],
  ];
}

interface Daemon extends AsyncDisposable {
  readonly address: string;
}

async function startDaemon(flags: string[], certificates: string): Promise<Daemon> {
  const child = spawn(process.execPath, ["simulator/drachtio/main.ts", "--port", "0", ...flags], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
    // What the SBC's daemon dials has a certificate of the lab's authority.
    env: { ...process.env, NODE_EXTRA_CA_CERTS: join(certificates, "ca.pem") },
  });
  const exited = once(child, "exit");
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const [, address = ""] = /control=(\S+)/.exec(line) ?? [];
  return {
    address,
    async [Symbol.asyncDispose]() {
      child.kill();
      await exited;
    },
  };
}

/** Runs `linecheck`; resolves with its exit code and what it printed. */
async function linecheck(args: string[], environment: NodeJS.ProcessEnv = {}) {
  const child: ChildProcess & { stdout: NodeJS.ReadableStream } = spawn(
    process.execPath,
    [CLI, ...args],
    {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...environment },
    },
  );
  const exited = once(child, "exit");
  child.stdout.pipe(process.stdout, { end: false });
  const printed = await text(child.stdout);
  const [code] = await exited;
  return { code, printed };
}

async function main(files: string[]): Promise<boolean> {
  await using opened = new AsyncDisposableStack();
  const certificates = mkdtempSync(join(tmpdir(), "linecheck-certificates-"));
  opened.defer(() => rmSync(certificates, { recursive: true }));
  await linecheck(["certificates", certificates]);
  const addresses: string[] = [];
  for (const flags of contactsOf(certificates)) {
    addresses.push(opened.use(await startDaemon(flags, certificates)).address);
  }
  const { code, printed } = await linecheck(["run", "--out", "out/running-daemons", ...files], {
    LINECHECK_DRACHTIO: addresses.join(","),
    LINECHECK_CERTIFICATES: certificates,
  });
  return code === 0 && /^[1-9]\d* passed, 0 failed$/m.test(printed);
}

const files = process.argv.slice(2);
process.exitCode = (await main(files.length === 0 ? FILES : files)) ? 0 : 1;
