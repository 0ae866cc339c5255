import { Bell } from "./bell.ts";

/** What a replica claims a call with. */
export interface Lease {
  readonly owner: string;
  /** Without another claim for so long, the replica is held to be gone. */
  readonly leaseMs: number;
  /** What a successor has to know of the call. */
  readonly note: string;
  /** Takes the call from this owner and nobody else, whether its lease still runs or not. */
  readonly replaces?: string;
}

/** The replica that runs a call, or ran it until it was gone. */
export interface Holder {
  readonly callId: string;
  readonly owner: string;
  readonly note: string;
}

/**
 * Which replica runs a call. The service posts to one public address, and a load balancer takes any
 * event to any replica; ownership is a lease, so that a killed replica's calls can be found.
 */
export interface CallDirectory {
  /**
   * True when `owner` now holds the call; an owner renews by claiming again. To be had are calls
   * that nobody holds and those whose lease ran out; a call that was released is over for ever.
   */
  claim(callId: string, lease: Lease): Promise<boolean>;
  /** Until the call is released, also when the lease ran out. */
  holder(callId: string): Promise<Holder | undefined>;
  /** Calls whose lease ran out before they were released. */
  orphans(): Promise<Holder[]>;
  /** The call is over, if `owner` holds it; anybody else's claim is left alone. */
  release(callId: string, owner: string): Promise<void>;
  /** True for the first who asks for this key within `forMs`. */
  first(key: string, forMs: number): Promise<boolean>;
}

/** Events on their way to the replica that runs their call. */
export interface CallInbox {
  /**
   * Appends `payload` once per `eventId`: false when this event was posted before. Of more than
   * {@link INBOX_LIMIT} that nobody has read, the oldest are dropped.
   */
  post(callId: string, eventId: string, payload: string): Promise<boolean>;
  /**
   * Everything posted for the call, in order. Asking for the next acknowledges the one before; what
   * an earlier owner did not acknowledge comes again. Ends when aborted, and when `owner` does not
   * hold the call (any more).
   */
  read(callId: string, options: ReadOptions): AsyncIterable<string>;
  /** How many are not acknowledged. */
  backlog(callId: string): Promise<number>;
  /** Forgets the call. */
  close(callId: string): Promise<void>;
}

export interface ReadOptions {
  readonly owner: string;
  readonly signal: AbortSignal;
}

/** What the replicas of one agent share. */
export interface Replicas {
  readonly directory: CallDirectory;
  readonly inbox: CallInbox;
  /** Throws when it cannot be used at the moment. */
  check(): Promise<void>;
}

/** More unread events than this for one call are a flood. */
export const INBOX_LIMIT = 1000;
/** How long a call is remembered after its end, or after its owner was last heard of; an event, too. */
export const MEMORY_MS = 600_000;
/** A reader that no bell has woken for so long looks by itself. */
const LOOK_MS = 5000;

interface Entry {
  readonly id: string;
  readonly payload: string;
}

export interface InboxSource {
  /** The oldest entries; nothing at all when the reader does not hold the call. */
  readonly unread: () => Promise<readonly Entry[] | undefined>;
  readonly acknowledge: (id: string) => Promise<unknown>;
  /** Rung after every post. */
  readonly bell: Bell;
}

/** The reading that all adapters have in common. */
export async function* readInbox(
  { unread, acknowledge, bell }: InboxSource,
  signal: AbortSignal,
): AsyncGenerator<string> {
  while (!signal.aborted) {
    const entries = await unread();
    if (entries === undefined) return;
    for (const { id, payload } of entries) {
      if (signal.aborted) return;
      yield payload;
      await acknowledge(id);
    }
    if (entries.length === 0) await bell.heard({ signal, longestMs: LOOK_MS });
  }
}

/** Both in memory: for one replica, and for several in one process. `now`: monotonic milliseconds. */
export function memoryReplicas({ now }: { readonly now: () => number }): Replicas {
  const directory = new MemoryDirectory(now);
  return { directory, inbox: memoryInbox(directory), check: async () => {} };
}

interface Claim {
  readonly owner: string;
  readonly note: string;
  readonly untilMs: number;
  readonly released: boolean;
}

class MemoryDirectory implements CallDirectory {
  readonly #now: () => number;
  readonly #claims = new Map<string, Claim>();
  readonly #keys = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  async claim(callId: string, { owner, leaseMs, note, replaces }: Lease): Promise<boolean> {
    const claim = this.#claims.get(callId);
    const isFree = claim === undefined || claim.untilMs <= this.#now();
    const mayReplace = replaces === undefined ? isFree : claim?.owner === replaces;
    if (claim?.released || (claim?.owner !== owner && !mayReplace)) return false;
    const untilMs = this.#now() + leaseMs;
    this.#claims.set(callId, { owner, note, untilMs, released: false });
    return true;
  }

  async holder(callId: string): Promise<Holder | undefined> {
    const claim = this.#claims.get(callId);
    if (claim === undefined || claim.released) return undefined;
    return { callId, owner: claim.owner, note: claim.note };
  }

  async orphans(): Promise<Holder[]> {
    return Array.from(this.#claims)
      .filter(([, { released, untilMs }]) => !released && untilMs <= this.#now())
      .map(([callId, { owner, note }]) => ({ callId, owner, note }));
  }

  async release(callId: string, owner: string): Promise<void> {
    forgetBefore(this.#now() - MEMORY_MS, this.#claims, ({ untilMs }) => untilMs);
    const claim = this.#claims.get(callId);
    if (claim?.owner !== owner) return;
    this.#claims.set(callId, { owner, note: "", untilMs: this.#now(), released: true });
  }

  async first(key: string, forMs: number): Promise<boolean> {
    forgetBefore(this.#now(), this.#keys, (untilMs) => untilMs);
    if (this.#keys.has(key)) return false;
    this.#keys.set(key, this.#now() + forMs);
    return true;
  }
}

function forgetBefore<Value>(
  limitMs: number,
  map: Map<string, Value>,
  timeOf: (value: Value) => number,
): void {
  for (const [key, value] of map) if (timeOf(value) <= limitMs) map.delete(key);
}

interface Letters {
  readonly entries: Entry[];
  readonly bell: Bell;
}

function memoryInbox(directory: CallDirectory): CallInbox {
  const calls = new Map<string, Letters>();
  const of = (callId: string) => {
    const letters = calls.get(callId) ?? { entries: [], bell: new Bell() };
    calls.set(callId, letters);
    return letters;
  };
  return {
    post: async (callId, eventId, payload) => {
      if (!(await directory.first(`event:${callId}:${eventId}`, MEMORY_MS))) return false;
      const { entries, bell } = of(callId);
      entries.push({ id: eventId, payload });
      if (entries.length > INBOX_LIMIT) entries.shift();
      bell.ring();
      return true;
    },
    read: (callId, { owner, signal }) => {
      const { entries, bell } = of(callId);
      return readInbox(
        {
          unread: async () =>
            (await directory.holder(callId))?.owner === owner ? [...entries] : undefined,
          acknowledge: async (read) => {
            const index = entries.findIndex(({ id }) => id === read);
            if (index >= 0) entries.splice(index, 1);
          },
          bell,
        },
        signal,
      );
    },
    backlog: async (callId) => calls.get(callId)?.entries.length ?? 0,
    close: async (callId) => void calls.delete(callId),
  };
}
