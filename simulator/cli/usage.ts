import { type ParseArgsConfig, parseArgs } from "node:util";

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
