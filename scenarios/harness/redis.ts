import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";

export interface RedisServerOptions {
  /** Where it listened before, to come back there. Default: any free port. */
  readonly port?: number;
  /** Further settings, as `redis-server` takes them on its command line. */
  readonly settings?: readonly string[];
  /** Speaks TLS only. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
}

/** A real `redis-server` of this machine that keeps nothing. Disposing kills it. */
export interface RedisServer extends AsyncDisposable {
  readonly port: number;
  /** For clients; without credentials. */
  readonly url: string;
  /** Stops it where it stands: connections stay open and nothing is answered. */
  pause(): void;
  resume(): void;
}

const START_TIMEOUT_MS = 10_000;
const TRIES = 5;

export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  let output = "";
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const port = options.port ?? (await freePort());
    const server = spawn("redis-server", settingsOf(port, options), { cwd: tmpdir() });
    const started = await listening(server);
    if (started.isReady) return describe(server, port, options);
    // Between the choice of a port and its use, somebody else may have taken it.
    ({ output } = started);
    if (!output.includes("Address already in use")) break;
  }
  throw new Error(`redis-server did not start: ${output}`);
}

/** A port of 127.0.0.1 that nobody used a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

function settingsOf(port: number, { settings = [], tls }: RedisServerOptions): string[] {
  const listen =
    tls === undefined
      ? ["--port", String(port)]
      : `--port 0 --tls-port ${port} --tls-auth-clients no --tls-cert-file ${tls.certFile} --tls-key-file ${tls.keyFile}`.split(
          " ",
        );
  return [...listen, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", ...settings];
}

async function listening(server: ChildProcess): Promise<{ isReady: boolean; output: string }> {
  const lines: string[] = [];
  const timer = setTimeout(() => server.kill("SIGKILL"), START_TIMEOUT_MS);
  try {
    if (server.stdout === null) return { isReady: false, output: "no output" };
    for await (const line of createInterface({ input: server.stdout })) {
      lines.push(line);
      if (line.includes("Ready to accept connections")) return { isReady: true, output: line };
    }
    return { isReady: false, output: lines.join("\n") };
  } finally {
    clearTimeout(timer);
    // Nobody reads on, and a full pipe would stop it.
    server.stdout?.resume();
  }
}

function describe(server: ChildProcess, port: number, { tls }: RedisServerOptions): RedisServer {
  const isGone = () => server.exitCode !== null || server.signalCode !== null;
  return {
    port,
    url: `redis${tls === undefined ? "" : "s"}://127.0.0.1:${port}`,
    pause: () => void server.kill("SIGSTOP"),
    resume: () => void server.kill("SIGCONT"),
    [Symbol.asyncDispose]: async () => {
      if (isGone()) return;
      server.kill("SIGKILL");
      await once(server, "exit");
    },
  };
}
