import { createClient } from "@redis/client";
import { Bell } from "./bell.ts";
import {
  type CallDirectory,
  type CallInbox,
  type Holder,
  INBOX_LIMIT,
  type Lease,
  MEMORY_MS,
  type Replicas,
  readInbox,
} from "./replicas.ts";
import { describeError, type Logger } from "./telemetry.ts";

export interface RedisReplicasOptions {
  /** `redis://` or `rediss://`, with user, password and database where there are any. */
  readonly url: string;
  readonly logger: Logger;
  /** Milliseconds; by default Redis's own clock, the only one that all replicas share. */
  readonly now?: () => number;
}

/** Redis or Valkey could not be reached at the start. Names it without its password. */
export class RedisUnavailable extends Error {
  readonly code = "AGENT_REDIS_UNAVAILABLE";

  constructor(url: string, cause: unknown) {
    const { protocol, host } = new URL(url);
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`Redis at ${protocol}//${host} cannot be used: ${why}`, { cause });
    this.name = "RedisUnavailable";
  }
}

const CONNECT_TIMEOUT_MS = 2000;
const RECONNECT_MS = 500;
/** A Redis that says nothing for the longer, asked every shorter time, is lost. */
const SILENCE_MS = 2500;
const PING_MS = 500;

/** One brace pair in every key: whatever spreads keys over shards keeps these together. */
const PREFIX = "{linecheck}:";
const LEASES = `${PREFIX}leases`;
const BELL = `${PREFIX}bell`;
const callKey = (callId: string) => `${PREFIX}call:${callId}`;
const inboxKey = (callId: string) => `${PREFIX}inbox:${callId}`;
const eventKey = (callId: string, eventId: string) => `${PREFIX}event:${callId}:${eventId}`;

const NOW = `
local function now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end`;

/** KEYS: call, leases. ARGV: call id, owner, lease ms, note, owner to replace, memory ms, now. */
const CLAIM = `${NOW}
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner == '' then return 0 end
if owner ~= ARGV[2] then
  if ARGV[5] ~= '' then
    if owner ~= ARGV[5] then return 0 end
  elseif owner and tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0) > now(ARGV[7]) then
    return 0
  end
end
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'note', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3] + ARGV[6])
redis.call('ZADD', KEYS[2], now(ARGV[7]) + ARGV[3], ARGV[1])
return 1`;

/** KEYS: call, leases. ARGV: call id, owner, memory ms. An empty owner says that the call is over. */
const RELEASE = `
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'owner', '', 'note', '')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1`;

/** KEYS: leases. ARGV: now. */
const EXPIRED = `${NOW}
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now(ARGV[1]), 'LIMIT', 0, 100)`;

/** KEYS: event, inbox. ARGV: call id, payload, limit, memory ms, channel of the bell. */
const POST = `
if not redis.call('SET', KEYS[1], 1, 'NX', 'PX', ARGV[4]) then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[3], '*', 'payload', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[1])
return 1`;

/** KEYS: call, inbox. ARGV: owner. Nil for a reader that does not hold the call. */
const UNREAD = `
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return false end
return redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 100)`;

type Client = ReturnType<typeof newClient>;

/**
 * Both in Redis or Valkey. Each call is a hash with its owner and note, a score in the sorted set
 * of leases, and a stream of unread events, whose entries the reader deletes when it has acted on
 * them. Throws {@link RedisUnavailable} when there is no Redis; one that is lost later is
 * reconnected for ever, and whatever is asked of it meanwhile rejects at once.
 */
export async function openRedisReplicas({
  url,
  logger,
  now,
}: RedisReplicasOptions): Promise<Replicas & AsyncDisposable> {
  let isOpened = false;
  const client = newClient(url, () => isOpened);
  const bells = new Map<string, Bell>();
  watch(client, logger);
  // What was posted while the connection was away rang no bell.
  client.on("ready", () => bells.forEach((bell) => bell.ring()));
  try {
    await client.connect();
    await client.subscribe(BELL, (callId) => bells.get(callId)?.ring());
  } catch (error) {
    if (client.isOpen) client.destroy();
    throw new RedisUnavailable(url, error);
  }
  isOpened = true;
  const time = () => (now === undefined ? "" : String(Math.floor(now())));
  return {
    directory: redisDirectory(client, time),
    inbox: redisInbox(client, bells),
    check: async () => void (await client.ping()),
    [Symbol.asyncDispose]: async () => client.destroy(),
  };
}

function newClient(url: string, mayReconnect: () => boolean) {
  return createClient({
    url,
    name: "linecheck-agent",
    disableOfflineQueue: true,
    maintNotifications: "disabled",
    pingInterval: PING_MS,
    socket: {
      connectTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: SILENCE_MS,
      reconnectStrategy: () => (mayReconnect() ? RECONNECT_MS : false),
    },
  });
}

/** Says once that Redis is lost, and once that it is back. */
function watch(client: Client, logger: Logger): void {
  let isLost = false;
  client.on("error", (error: unknown) => {
    if (!isLost) logger.error({ err: describeError(error) }, "redis is lost");
    isLost = true;
  });
  client.on("ready", () => {
    if (isLost) logger.info({}, "redis is back");
    isLost = false;
  });
}

function redisDirectory(client: Client, time: () => string): CallDirectory {
  const holder = async (callId: string): Promise<Holder | undefined> => {
    const { owner = "", note = "" } = await client.hGetAll(callKey(callId));
    return owner === "" ? undefined : { callId, owner, note };
  };
  return {
    holder,
    claim: async (callId, { owner, leaseMs, note, replaces = "" }: Lease) => {
      const values = [callId, owner, String(leaseMs), note, replaces, String(MEMORY_MS), time()];
      const keys = [callKey(callId), LEASES];
      return (await client.eval(CLAIM, { keys, arguments: values })) === 1;
    },
    orphans: async () => {
      const expired = await client.eval(EXPIRED, { keys: [LEASES], arguments: [time()] });
      const holders = await Promise.all(textsOf(expired).map(holder));
      const gone = textsOf(expired).filter((_id, index) => holders[index] === undefined);
      if (gone.length > 0) await client.zRem(LEASES, gone);
      return holders.filter((found) => found !== undefined);
    },
    release: async (callId, owner) => {
      const values = [callId, owner, String(MEMORY_MS)];
      await client.eval(RELEASE, { keys: [callKey(callId), LEASES], arguments: values });
    },
    first: async (key, forMs) => {
      const condition = { condition: "NX", expiration: { type: "PX", value: forMs } } as const;
      return (await client.set(`${PREFIX}first:${key}`, "1", condition)) !== null;
    },
  };
}

function redisInbox(client: Client, bells: Map<string, Bell>): CallInbox {
  return {
    post: async (callId, eventId, payload) => {
      const keys = [eventKey(callId, eventId), inboxKey(callId)];
      const values = [callId, payload, String(INBOX_LIMIT), String(MEMORY_MS), BELL];
      return (await client.eval(POST, { keys, arguments: values })) === 1;
    },
    async *read(callId, { owner, signal }) {
      const bell = new Bell();
      bells.set(callId, bell);
      const keys = [callKey(callId), inboxKey(callId)];
      try {
        yield* readInbox(
          {
            unread: async () => entriesOf(await client.eval(UNREAD, { keys, arguments: [owner] })),
            acknowledge: (id) => client.xDel(inboxKey(callId), id),
            bell,
          },
          signal,
        );
      } finally {
        bells.delete(callId);
      }
    },
    backlog: (callId) => client.xLen(inboxKey(callId)),
    close: async (callId) => void (await client.del(inboxKey(callId))),
  };
}

function textsOf(reply: unknown): string[] {
  return Array.isArray(reply) ? reply.filter((value) => typeof value === "string") : [];
}

/** `[[id, ["payload", payload]], …]`, as XRANGE answers. */
function entriesOf(reply: unknown): { id: string; payload: string }[] | undefined {
  if (!Array.isArray(reply)) return undefined;
  return reply.map(([id, [, payload]]) => ({ id: String(id), payload: String(payload) }));
}
