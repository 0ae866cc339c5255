/**
 * Which replica runs a call. The service posts to one public address, and a load balancer takes any
 * event to any replica; ownership is a lease, so that a killed replica's calls become free.
 */
export interface CallDirectory {
  /** True when `owner` now holds `key` for `leaseMs`; an owner renews by claiming again. */
  claim(key: string, owner: string, leaseMs: number): Promise<boolean>;
  ownerOf(key: string): Promise<string | undefined>;
  /** Frees `key` if `owner` holds it; anybody else's claim is left alone. */
  release(key: string, owner: string): Promise<void>;
}

/** Events on their way to the replica that runs their call. */
export interface CallInbox {
  /** Appends `payload` once per `eventId`: false when this event was posted before. */
  post(callId: string, eventId: string, payload: string): Promise<boolean>;
  /** Everything posted for the call, in order, from its first event on. Ends when aborted. */
  read(callId: string, options: { signal: AbortSignal }): AsyncIterable<string>;
  /** Forgets the call. */
  close(callId: string): Promise<void>;
}

export interface Replicas {
  readonly directory: CallDirectory;
  readonly inbox: CallInbox;
}

/** More events than this for one call are a flood. */
const INBOX_LIMIT = 10_000;

/** Both in memory: for one replica, and for several in one process. */
export function memoryReplicas({ now = () => performance.now() } = {}): Replicas {
  return { directory: memoryDirectory(now), inbox: memoryInbox() };
}

function memoryDirectory(now: () => number): CallDirectory {
  const claims = new Map<string, { owner: string; until: number }>();
  const holder = (key: string) => {
    const claim = claims.get(key);
    return claim !== undefined && claim.until > now() ? claim.owner : undefined;
  };
  return {
    claim: async (key, owner, leaseMs) => {
      const held = holder(key);
      if (held !== undefined && held !== owner) return false;
      claims.set(key, { owner, until: now() + leaseMs });
      return true;
    },
    ownerOf: async (key) => holder(key),
    release: async (key, owner) => {
      if (claims.get(key)?.owner === owner) claims.delete(key);
    },
  };
}

interface Letters {
  readonly payloads: string[];
  readonly seen: Set<string>;
  readonly readers: Set<() => void>;
}

function memoryInbox(): CallInbox {
  const calls = new Map<string, Letters>();
  const of = (callId: string) => {
    const letters = calls.get(callId) ?? { payloads: [], seen: new Set(), readers: new Set() };
    calls.set(callId, letters);
    return letters;
  };
  return {
    post: async (callId, eventId, payload) => {
      const { payloads, seen, readers } = of(callId);
      if (seen.has(eventId) || payloads.length >= INBOX_LIMIT) return false;
      seen.add(eventId);
      payloads.push(payload);
      for (const wake of readers) wake();
      return true;
    },
    read: (callId, { signal }) => readLetters(of(callId), signal),
    close: async (callId) => void calls.delete(callId),
  };
}

async function* readLetters(
  { payloads, readers }: Letters,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let next = 0;
  while (!signal.aborted) {
    const payload = payloads[next];
    if (payload === undefined) {
      await newLetter(readers, signal);
    } else {
      next += 1;
      yield payload;
    }
  }
}

async function newLetter(readers: Set<() => void>, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  readers.add(resolve);
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  readers.delete(resolve);
}
