import { type ParseArgsConfig, parseArgs } from "node:util";
import { parseDrachtioChoice } from "../drachtio/real.ts";

/** The command line is wrong; its message is printed without a stack, and the exit code is 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly code = "USAGE";
}

/** `parseArgs` whose complaints are usage errors. */
export function readArguments<Config extends ParseArgsConfig>(config: Config) {
  try {
    return parseArgs(config);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** A whole number of at least 1. */
export function positiveInteger(name: string, text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new UsageError(
    `${name}: expected a whole number from 1 to 999999, got ${JSON.stringify(text)}`,
  );
}

/** The first of the four ports of a lab with fixed addresses. */
export function portBase(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1024 && port <= 65_500) return port;
  throw new UsageError(
    `--port-base: expected a port from 1024 to 65500, got ${JSON.stringify(text)}`,
  );
}

/**
 * Whether the SIP applications go to daemons that run already. The SBC's was started with a
 * certificate then, which the lab has to know.
 */
export function usesRunningDaemons(environment: NodeJS.ProcessEnv): boolean {
  if (parseDrachtioChoice(environment["LINECHECK_DRACHTIO"]).kind !== "address") return false;
  if (environment["LINECHECK_CERTIFICATES"] !== undefined) return true;
  throw new UsageError(
    "LINECHECK_DRACHTIO names daemons that run already: LINECHECK_CERTIFICATES has to name the folder (see linecheck certificates) from which the SBC's has its own",
  );
}

export function webhookUrl(name: string, text: string): string {
  if (URL.canParse(text) && /^https?:/.test(text)) return text;
  throw new UsageError(`${name}: expected the agent's webhook URL, got ${JSON.stringify(text)}`);
}
