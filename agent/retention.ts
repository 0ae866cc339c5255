import type { Store } from "./store.ts";
import { describeError, type Logger } from "./telemetry.ts";

export interface RetentionOptions {
  readonly store: Store;
  /** Calls that started longer ago are deleted. */
  readonly days: number;
  readonly date: () => Date;
  readonly logger: Logger;
}

const DAY_MS = 86_400_000;
const SWEEP_MS = 3_600_000;

/** Deletes what is older than it may be, at once and every hour, until disposed. */
export function startRetention(options: RetentionOptions): Disposable {
  sweep(options);
  const timer = setInterval(() => sweep(options), SWEEP_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function sweep({ store, days, date, logger }: RetentionOptions): void {
  try {
    const expired = store.deleteCallsBefore(new Date(date().getTime() - days * DAY_MS));
    if (expired > 0) logger.info({ expired }, "old calls deleted");
  } catch (error) {
    // A database that another process holds; the next hour comes.
    logger.warn({ err: describeError(error) }, "old calls could not be deleted");
  }
}
