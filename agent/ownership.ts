import type { MidCallEvent } from "./events.ts";
import type { Replicas } from "./replicas.ts";
import { describeError, type Logger } from "./telemetry.ts";

export interface OwnershipOptions {
  readonly replicas: Replicas;
  readonly callId: string;
  /** The name of this replica. */
  readonly owner: string;
  readonly logger: Logger;
  /** Called with every event that reached another replica first. */
  readonly onEvent: (event: MidCallEvent) => void;
}

/** A replica that is killed is found out after this long. */
const LEASE_MS = 15_000;
const RENEW_MS = 5000;
/** An IncomingCall may be delivered again for minutes; nobody else may answer it meanwhile. */
const ANSWER_LEASE_MS = 600_000;

/**
 * That one replica runs a call: its claim in the directory, renewed while the call lasts, and what
 * the others forward to it. A directory that fails costs the forwarding, never the call.
 */
export class Ownership implements AsyncDisposable {
  readonly #options: OwnershipOptions;
  readonly #ended = new AbortController();
  readonly #renewal: NodeJS.Timeout;
  readonly #reading: Promise<void>;

  constructor(options: OwnershipOptions) {
    this.#options = options;
    this.#renewal = setInterval(() => void this.#claim(), RENEW_MS);
    this.#reading = this.#claim().then(() => this.#read());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { replicas, callId, owner } = this.#options;
    clearInterval(this.#renewal);
    this.#ended.abort();
    await this.#reading;
    await this.#attempt(async () => {
      await replicas.inbox.close(callId);
      await replicas.directory.release(callId, owner);
    });
  }

  #claim(): Promise<void> {
    const { replicas, callId, owner } = this.#options;
    return this.#attempt(
      async () => void (await replicas.directory.claim(callId, owner, LEASE_MS)),
    );
  }

  #read(): Promise<void> {
    const { replicas, callId, onEvent } = this.#options;
    return this.#attempt(async () => {
      for await (const letter of replicas.inbox.read(callId, this.#ended)) {
        onEvent(JSON.parse(letter) as MidCallEvent);
      }
    });
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#options.logger.warn({ err: describeError(error) }, "call directory failed");
    }
  }
}

/** Whether this replica is the one to answer; an announcement may reach several. */
export function claimAnswer({ directory }: Replicas, key: string, owner: string): Promise<boolean> {
  return directory.claim(`answer:${key}`, owner, ANSWER_LEASE_MS);
}

/** Sends events to whoever runs their call; false when nobody does. */
export async function forward(
  { directory, inbox }: Replicas,
  callId: string,
  events: readonly MidCallEvent[],
): Promise<boolean> {
  if ((await directory.ownerOf(callId)) === undefined) return false;
  for (const event of events) await inbox.post(callId, event.id, JSON.stringify(event));
  return true;
}
