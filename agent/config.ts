import { type ConfigFault, Variables } from "./variables.ts";

export type LogLevel = "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "silent";
export type MediaRateHz = 16000 | 24000;

/** Every fault of an environment at once, so that a deployment is corrected in one go. */
export class ConfigError extends Error {
  readonly code = "AGENT_CONFIG_INVALID";
  readonly faults: readonly ConfigFault[];

  constructor(faults: readonly ConfigFault[]) {
    const lines = faults.map(
      ({ name, expected, got }) => `  ${name}: expected ${expected}, got ${got}`,
    );
    super(`the configuration has ${faults.length} fault(s):\n${lines.join("\n")}`);
    this.name = "ConfigError";
    this.faults = faults;
  }
}

/** What the agent runs on; the table in docs/agent.md explains each variable. */
export type Config = ReturnType<typeof readValues>;

/** Reads the whole configuration. Throws {@link ConfigError} with every fault at once. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const faults: ConfigFault[] = [];
  const config = readValues(new Variables(env, faults));
  if (config.mode === "realtime") checkRealtime(config, faults);
  if (config.production) checkProduction(config, faults);
  if (faults.length > 0) throw new ConfigError(faults);
  return freezeDeep(config);
}

function readValues(read: Variables) {
  return {
    production: read.optional("NODE_ENV") === "production",
    service: readService(read),
    acs: readAcs(read),
    speech: readSpeech(read),
    /** "realtime": one model hears and speaks by itself; the cascade takes over when it fails. */
    mode: read.oneOf("AGENT_MODE", ["cascade", "realtime"], "cascade"),
    model: readModel(read),
    realtime: readRealtime(read),
    escalation: readEscalation(read),
    conversation: readConversation(read),
    media: {
      rateHz:
        read.oneOf("AGENT_MEDIA_RATE_HZ", ["16000", "24000"], "16000") === "24000" ? 24000 : 16000,
      /** How much audio may be ahead of the caller's ear in the service's queue. */
      leadMs: read.integer("AGENT_PLAYOUT_LEAD_MS", { from: 100, to: 60_000, or: 1000 }),
      /** After the last words, before the call is transferred or hung up: they travel on. */
      lingerMs: read.integer("AGENT_LINGER_MS", { from: 0, to: 5000, or: 250 }),
      /** From sending a frame to its play-out; taken off what counts as heard. */
      latencyMs: read.integer("AGENT_PLAYOUT_LATENCY_MS", { from: 0, to: 2000, or: 20 }),
    } satisfies { rateHz: MediaRateHz; leadMs: number; lingerMs: number; latencyMs: number },
    store: {
      path: read.text("AGENT_DATABASE", ":memory:"),
      customers: read.customers("AGENT_CUSTOMERS"),
      retentionDays: read.integer("AGENT_RETENTION_DAYS", { from: 1, to: 3650, or: 90 }),
    },
    logLevel: read.oneOf(
      "LOG_LEVEL",
      ["fatal", "error", "warn", "info", "debug", "trace", "silent"],
      "info",
    ) satisfies LogLevel,
  };
}

function readService(read: Variables) {
  return {
    host: read.text("AGENT_HOST", "127.0.0.1"),
    port: read.integer("AGENT_PORT", { from: 0, to: 65_535, or: 8080 }),
    publicUrl: read.url("AGENT_PUBLIC_URL", ["http:", "https:"]),
    /** Of this replica alone, where several share the public URL. */
    mediaUrl: read.url("AGENT_MEDIA_URL", ["http:", "https:"]),
    /** What the replicas share; without it this one is alone. Holds a password. */
    redisUrl: read.secretUrl("AGENT_REDIS_URL", ["redis:", "rediss:"]),
    eventGridSecret: read.secret("EVENT_GRID_SECRET"),
    drainTimeoutMs: read.integer("AGENT_DRAIN_TIMEOUT_MS", { from: 0, to: 3_600_000, or: 20_000 }),
    maxCalls: read.integer("AGENT_MAX_CALLS", { from: 1, to: 10_000, or: 100 }),
  };
}

function readAcs(read: Variables) {
  return {
    connectionString: read.connectionString("ACS_CONNECTION_STRING"),
    allowInsecureConnection: read.flag("ACS_ALLOW_INSECURE_CONNECTION"),
    callbackAudience: read.optional("ACS_CALLBACK_AUDIENCE"),
    callbackIssuer: read.text(
      "ACS_CALLBACK_ISSUER",
      "https://acscallautomation.communication.azure.com",
    ),
    callbackJwksUrl:
      read.url("ACS_CALLBACK_JWKS_URL", ["http:", "https:"]) ??
      "https://acscallautomation.communication.azure.com/calling/keys",
    retryDelayMs: read.integer("ACS_RETRY_DELAY_MS", { from: 0, to: 60_000, or: 300 }),
  };
}

function readSpeech(read: Variables) {
  const region = read.optional("SPEECH_REGION");
  const host = read.url("SPEECH_HOST", ["http:", "https:"]);
  if ((region === undefined) === (host === undefined)) {
    read.fault("SPEECH_REGION or SPEECH_HOST", "exactly one of the two", host ? "both" : "neither");
  }
  return {
    key: read.requiredSecret("SPEECH_KEY"),
    region,
    host,
    language: read.matching(
      "SPEECH_LANGUAGE",
      /^[a-z]{2,3}(-[A-Za-z\d]{2,8})+$/,
      "a locale such as en-US",
      "en-US",
    ),
    voice: read.text("SPEECH_VOICE", "en-US-AvaMultilingualNeural"),
    /** Whether the phrases of a failing service are synthesised while idle, and kept. */
    preparedPhrases: read.oneOf("AGENT_PREPARED_PHRASES", ["on", "off"], "on") === "on",
    /** Without a call for so long, the next of them is synthesised. */
    preparationIdleMs: read.integer("AGENT_PREPARATION_IDLE_MS", {
      from: 0,
      to: 3_600_000,
      or: 15_000,
    }),
    segmentationSilenceMs: read.integer("SPEECH_SEGMENTATION_SILENCE_MS", {
      from: 100,
      to: 5000,
      or: 500,
    }),
    firstAudioTimeoutMs: read.integer("SPEECH_FIRST_AUDIO_TIMEOUT_MS", {
      from: 50,
      to: 30_000,
      or: 2000,
    }),
    stopTimeoutMs: read.integer("SPEECH_STOP_TIMEOUT_MS", { from: 50, to: 30_000, or: 700 }),
  };
}

function readModel(read: Variables) {
  return {
    endpoint: read.requiredUrl("AZURE_OPENAI_ENDPOINT", ["http:", "https:"]),
    key: read.requiredSecret("AZURE_OPENAI_KEY"),
    deployment: read.required("AZURE_OPENAI_DEPLOYMENT", "the name of a chat deployment"),
    apiVersion: read.text("AZURE_OPENAI_API_VERSION", "2024-10-21"),
    /** Until the first piece of an answer, and then between any two pieces. */
    stallTimeoutMs: read.integer("AZURE_OPENAI_STALL_TIMEOUT_MS", {
      from: 50,
      to: 60_000,
      or: 6000,
    }),
    maxRetries: read.integer("AZURE_OPENAI_MAX_RETRIES", { from: 0, to: 5, or: 1 }),
    maxTokens: read.integer("AZURE_OPENAI_MAX_TOKENS", { from: 16, to: 4096, or: 300 }),
  };
}

function readEscalation(read: Variables) {
  return {
    queueNumber: read.phoneNumber("AGENT_QUEUE_NUMBER", "required"),
    fallbackNumber: read.phoneNumber("AGENT_FALLBACK_NUMBER", "optional"),
    summaryHeader: read.matching(
      "AGENT_SUMMARY_HEADER",
      /^X-(?!MS-(?!Custom-))[\w.!%*+~-]{1,62}$/,
      "a header name that starts with X- or X-MS-Custom-, at most 64 characters",
      "X-AI-Summary",
    ),
    summaryEncoding: read.oneOf("AGENT_SUMMARY_ENCODING", ["percent", "none"], "percent"),
    summaryLimit: read.integer("AGENT_SUMMARY_LIMIT", { from: 16, to: 1024, or: 256 }),
    transferTimeoutMs: read.integer("AGENT_TRANSFER_TIMEOUT_MS", {
      from: 100,
      to: 300_000,
      or: 45_000,
    }),
  };
}

function readConversation(read: Variables) {
  return {
    company: read.text("AGENT_COMPANY_NAME", ""),
    /** Media socket after the answer; without it the caller would hear nothing. */
    mediaTimeoutMs: read.integer("AGENT_MEDIA_TIMEOUT_MS", { from: 100, to: 60_000, or: 3500 }),
    /** How long a connected media socket waits for a CallConnected that may have been lost. */
    connectedTimeoutMs: read.integer("AGENT_CONNECTED_TIMEOUT_MS", {
      from: 0,
      to: 60_000,
      or: 1500,
    }),
    silenceMs: read.integer("AGENT_SILENCE_MS", { from: 100, to: 120_000, or: 8000 }),
    reprompts: read.integer("AGENT_REPROMPTS", { from: 0, to: 10, or: 2 }),
    /** When an answer takes longer than this, the caller is told to hold on. */
    fillerMs: read.integer("AGENT_FILLER_MS", { from: 100, to: 30_000, or: 2500 }),
    maxCallMs: read.integer("AGENT_MAX_CALL_MS", { from: 1000, to: 86_400_000, or: 1_800_000 }),
    maxTurns: read.integer("AGENT_MAX_TURNS", { from: 1, to: 10_000, or: 200 }),
    maxToolRounds: read.integer("AGENT_MAX_TOOL_ROUNDS", { from: 1, to: 20, or: 4 }),
  };
}

function readRealtime(read: Variables) {
  return {
    deployment: read.optional("AZURE_OPENAI_REALTIME_DEPLOYMENT"),
    voice: read.text("AZURE_OPENAI_REALTIME_VOICE", "marin"),
    transcriptionModel: read.text("AZURE_OPENAI_TRANSCRIPTION_MODEL", "whisper-1"),
  };
}

/** The realtime model speaks 24 kHz only. */
function checkRealtime({ realtime, media }: Config, faults: ConfigFault[]): void {
  if (realtime.deployment === undefined) {
    const expected = "a deployment (AGENT_MODE is realtime)";
    faults.push({ name: "AZURE_OPENAI_REALTIME_DEPLOYMENT", expected, got: "nothing" });
  }
  if (media.rateHz !== 24_000) {
    const expected = "24000 (AGENT_MODE is realtime)";
    faults.push({ name: "AGENT_MEDIA_RATE_HZ", expected, got: String(media.rateHz) });
  }
}

/** What a laboratory may do and a deployment may not. */
function checkProduction(config: Config, faults: ConfigFault[]): void {
  const refuse = (wrong: boolean, name: string, expected: string, got: string) => {
    if (wrong) faults.push({ name, expected: `${expected} (NODE_ENV is production)`, got });
  };
  const { service, acs, store } = config;
  refuse(store.path === ":memory:", "AGENT_DATABASE", "a file", ":memory:");
  refuse(
    !service.publicUrl?.startsWith("https:"),
    "AGENT_PUBLIC_URL",
    "an https URL",
    service.publicUrl ?? "nothing",
  );
  refuse(
    service.mediaUrl?.startsWith("http:") === true,
    "AGENT_MEDIA_URL",
    "an https URL",
    service.mediaUrl ?? "",
  );
  refuse(
    acs.callbackJwksUrl.startsWith("http:"),
    "ACS_CALLBACK_JWKS_URL",
    "an https URL",
    acs.callbackJwksUrl,
  );
  refuse(service.redisUrl?.startsWith("redis:") === true, "AGENT_REDIS_URL", "rediss:", "redis:");
  const hasOwnMedia = service.redisUrl === undefined || service.mediaUrl !== undefined;
  refuse(
    !hasOwnMedia,
    "AGENT_MEDIA_URL",
    "this replica's own URL, beside AGENT_REDIS_URL",
    "nothing",
  );
  refuse(service.eventGridSecret === undefined, "EVENT_GRID_SECRET", "a secret", "nothing");
  refuse(acs.callbackAudience === undefined, "ACS_CALLBACK_AUDIENCE", "the resource id", "nothing");
  refuse(acs.allowInsecureConnection, "ACS_ALLOW_INSECURE_CONNECTION", "false", "true");
}

function freezeDeep<Value>(value: Value): Value {
  if (typeof value === "object" && value !== null) {
    for (const entry of Object.values(value)) freezeDeep(entry);
    Object.freeze(value);
  }
  return value;
}
