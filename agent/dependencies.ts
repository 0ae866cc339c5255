import { connect } from "node:net";
import type { Config } from "./config.ts";

/** A service the agent cannot take calls without. */
export interface Dependency {
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

const TIMEOUT_MS = 1500;

class DependencyMissing extends Error {
  readonly code = "AGENT_DEPENDENCY_MISSING";

  constructor({ name, host, port }: Dependency, cause: unknown) {
    super(`${name} at ${host}:${port} does not accept connections`, { cause });
    this.name = "DependencyMissing";
  }
}

export function dependenciesOf({ acs, speech, model }: Config): Dependency[] {
  const endpoint = /endpoint=([^;]+)/i.exec(acs.connectionString)?.[1] ?? "";
  const speechUrl = speech.host ?? `https://${speech.region}.stt.speech.microsoft.com`;
  return [
    at("communication services", endpoint),
    at("speech", speechUrl),
    at("model", model.endpoint),
  ];
}

/** Throws the first dependency that does not accept a TCP connection. Costs no request, no key. */
export async function checkReachable(dependencies: readonly Dependency[]): Promise<void> {
  await Promise.all(dependencies.map(reach));
}

/** Whoever asks while a check runs is told its outcome: anybody may ask, and each check costs. */
export function oneAtATime(check: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => {
    running ??= check().finally(() => {
      running = undefined;
    });
    return running;
  };
}

function at(name: string, url: string): Dependency {
  const { hostname, port, protocol } = new URL(url);
  const standard = protocol === "http:" ? 80 : 443;
  const host = hostname.replace(/^\[|\]$/g, "");
  return { name, host, port: port === "" ? standard : Number(port) };
}

function reach(dependency: Dependency): Promise<void> {
  const { host, port } = dependency;
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS });
    const fail = (cause?: unknown) => {
      socket.destroy();
      reject(new DependencyMissing(dependency, cause));
    };
    socket.once("timeout", fail);
    socket.once("error", fail);
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
  });
}
