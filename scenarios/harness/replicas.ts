import { mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Lab } from "../../simulator/lab.ts";
import { type AgentProcess, startAgentProcess } from "./agent-process.ts";
import { startBalancer } from "./balancer.ts";
import { freePort, startRedis } from "./redis.ts";

export interface Replica {
  readonly url: string;
  readonly process: AgentProcess;
  /** Its own database file. */
  readonly database: string;
  /** How its calls ended, in order. */
  readonly outcomes: readonly string[];
}

/**
 * Two bundled agents, each a process, sharing a Redis over TLS, behind one address that takes every
 * event but the announcement to the replica without the media socket, and some events twice.
 */
export interface Replicas extends AsyncDisposable {
  /** Answers the calls, while it lives. */
  readonly first: Replica;
  readonly second: Replica;
  /** Kills what they share. */
  loseRedis(): Promise<void>;
}

export interface ReplicasOptions {
  readonly signal: AbortSignal;
  /** Settings of both that differ from the lab's. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Starts them, and has ACS announce the lab's calls to them from now on. */
export async function startReplicas(lab: Lab, options: ReplicasOptions): Promise<Replicas> {
  const opened = new AsyncDisposableStack();
  try {
    return await open(lab, options, opened);
  } catch (error) {
    await opened.disposeAsync();
    throw error;
  }
}

async function open(
  lab: Lab,
  { signal, settings }: ReplicasOptions,
  opened: AsyncDisposableStack,
): Promise<Replicas> {
  const home = opened.use(mkdtempDisposableSync(join(tmpdir(), "linecheck-replicas-")));
  const file = (name: string, content: string) => {
    writeFileSync(join(home.path, name), content, { mode: 0o600 });
    return join(home.path, name);
  };
  const { cert, key } = lab.certificates.services;
  const tls = { certFile: file("redis.pem", cert), keyFile: file("redis-key.pem", key) };
  const password = "lab-redis-password";
  const redis = opened.use(await startRedis({ tls, settings: ["--requirepass", password] }));
  const replicas: Replica[] = [];
  const balancer = opened.use(
    await startBalancer(() =>
      replicas.map(({ url, process }) => ({ url, isAlive: process.isAlive })),
    ),
  );
  const shared = {
    ...lab.agentEnvironment,
    AGENT_PUBLIC_URL: balancer.url,
    AGENT_REDIS_URL: redis.url.replace("//", `//:${password}@`),
    NODE_EXTRA_CA_CERTS: file("ca.pem", lab.ca),
    ...settings,
  };
  const start = async (name: string) => {
    const replica = await startReplica(shared, join(home.path, name), signal);
    opened.use(replica.process);
    replicas.push(replica);
    return replica;
  };
  const first = await start("first.sqlite");
  const second = await start("second.sqlite");
  const code = encodeURIComponent(lab.agentEnvironment["EVENT_GRID_SECRET"] ?? "");
  await lab.useAgent(`${balancer.url}/events?code=${code}`);
  return {
    first,
    second,
    loseRedis: async () => redis[Symbol.asyncDispose](),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function startReplica(
  shared: Readonly<Record<string, string>>,
  database: string,
  signal: AbortSignal,
): Promise<Replica> {
  const port = String(await freePort());
  const url = `http://127.0.0.1:${port}`;
  const own = { AGENT_DATABASE: database, AGENT_PORT: port, AGENT_MEDIA_URL: url };
  const process = await startAgentProcess({ settings: { ...shared, ...own }, signal });
  return {
    url,
    process,
    database,
    get outcomes() {
      return outcomesIn(process.log);
    },
  };
}

function outcomesIn(log: readonly string[]): string[] {
  return log.flatMap((line) => /"outcome":"([^"]+)".*"call ended"/.exec(line)?.[1] ?? []);
}
