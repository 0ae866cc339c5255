import { type DestinationStream, type Logger, pino } from "pino";
import type { Config } from "./config.ts";

export type { Logger };

/**
 * Names under which secrets or personal data would appear. Nothing logs them on purpose: this is
 * the second fence, for objects that libraries hand over whole.
 */
const MASKED =
  "key apiKey authorization Authorization accesskey token connectionString phoneNumber callerNumber name text summary incomingCallContext sipHeaders".split(
    " ",
  );

/**
 * Structured logs, one JSON object per line. Messages are constant; values are fields; what was
 * said, who called and from where stay out: the call's id finds them in the store.
 */
export function createLogger(
  config: Pick<Config, "logLevel">,
  destination?: DestinationStream,
): Logger {
  const options = {
    level: config.logLevel,
    base: { service: "agent" },
    redact: { paths: MASKED.flatMap((name) => [name, `*.${name}`]), censor: "•••" },
    serializers: { err: (error: unknown) => (isDescribed(error) ? error : describeError(error)) },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/**
 * An error as its class, code, and place. SDK errors carry whole requests with their headers, and
 * messages with telephone numbers in URLs, so neither object nor message is logged as it is.
 */
export function describeError(error: unknown): object {
  const description = descriptionOf(error);
  described.add(description);
  return description;
}

/** What the logger is given is described already; doing it twice would leave nothing of it. */
const described = new WeakSet<object>();

function isDescribed(error: unknown): boolean {
  return typeof error === "object" && error !== null && described.has(error);
}

function descriptionOf(error: unknown): object {
  if (!(error instanceof Error)) return { type: typeof error };
  const fields = Object.entries(error).filter(([name]) => name === "code" || name === "statusCode");
  const place = error.stack?.split("\n").find((line) => line.trimStart().startsWith("at "));
  return {
    type: error.name,
    ...Object.fromEntries(fields),
    message: maskPersonalData(error.message),
    at: place?.trim(),
  };
}

const PERSONAL = /\+?\d[\d -]{6,}\d|(accesskey|key|signature|bearer|code)([=: ]+)[^\s;&"]+/gi;

function maskPersonalData(text: string): string {
  return text.slice(0, 500).replaceAll(PERSONAL, "•••");
}
