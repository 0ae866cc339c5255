import { type Fields, isRecord, ownMember, textOf } from "../json.ts";
import { type AudioFormat, FORMATS } from "./audio.ts";
import {
  ClientEventError,
  invalidType,
  invalidValue,
  missingParameter,
  unknownParameter,
} from "./client-error.ts";
import {
  checkTurnDetection,
  TURN_DETECTION_DEFAULT,
  type TurnDetection,
} from "./turn-detection.ts";

/** Which names a session speaks: those of the GA interface, or the older ones of the preview. */
export type DialectName = "ga" | "preview";

interface Setting {
  /** Path in the GA session object. */
  readonly path: string;
  /** Name in the preview's flat one; `undefined` where it had none. */
  readonly older: string | undefined;
  readonly initial: unknown;
  /** Throws {@link ClientEventError}. Returns what is kept. */
  readonly check?: (value: unknown, param: string) => unknown;
  readonly fromOlder?: (value: unknown, param: string) => unknown;
  readonly toOlder?: (value: unknown) => unknown;
}

const PCM = { type: "audio/pcm", rate: 24_000 };
const VOICES = "alloy ash ballad coral echo sage shimmer verse marin cedar".split(" ");

/** The session object, setting by setting (OpenAI API reference, Realtime; Azure's migration guide). */
const SETTINGS: readonly Setting[] = [
  { path: "instructions", older: "instructions", initial: "", check: text },
  {
    path: "output_modalities",
    older: "modalities",
    initial: ["audio"],
    check: modalities,
    fromOlder: (value, param) => [list(value, param).includes("audio") ? "audio" : "text"],
    toOlder: (value) =>
      Array.isArray(value) && value.includes("audio") ? ["audio", "text"] : ["text"],
  },
  { path: "audio.input.format", older: "input_audio_format", initial: PCM, ...audioFormat() },
  {
    path: "audio.input.transcription",
    older: "input_audio_transcription",
    initial: null,
    check: objectOrNull,
  },
  {
    path: "audio.input.noise_reduction",
    older: "input_audio_noise_reduction",
    initial: null,
    check: objectOrNull,
  },
  {
    path: "audio.input.turn_detection",
    older: "turn_detection",
    initial: TURN_DETECTION_DEFAULT,
    check: checkTurnDetection,
  },
  { path: "audio.output.format", older: "output_audio_format", initial: PCM, ...audioFormat() },
  { path: "audio.output.voice", older: "voice", initial: "alloy", check: voice },
  {
    path: "audio.output.speed",
    older: "speed",
    initial: 1,
    check: (value, param) => within(value, param, [0.25, 1.5]),
  },
  { path: "tools", older: "tools", initial: [], check: tools },
  { path: "tool_choice", older: "tool_choice", initial: "auto" },
  {
    path: "max_output_tokens",
    older: "max_response_output_tokens",
    initial: "inf",
    check: tokenLimit,
  },
  { path: "truncation", older: undefined, initial: "auto" },
  { path: "tracing", older: "tracing", initial: null },
  { path: "prompt", older: "prompt", initial: null },
  { path: "include", older: "include", initial: null },
];

const CONTAINERS = new Set(["audio", "audio.input", "audio.output"]);
/** Fields of the older object without a counterpart; they are taken and change nothing. */
const OLDER_ONLY = new Set(["temperature", "model", "id", "object"]);

/** What a session was told. Every `session.update` makes a new one. */
export class SessionSettings {
  readonly #values: ReadonlyMap<string, unknown>;

  private constructor(values: ReadonlyMap<string, unknown>) {
    this.#values = values;
  }

  static defaults(): SessionSettings {
    return new SessionSettings(new Map(SETTINGS.map(({ path, initial }) => [path, initial])));
  }

  /** The settings after an update in that dialect; `param` is where the object stands in the event. */
  updated(patch: unknown, dialect: DialectName, param = "session"): SessionSettings {
    if (!isRecord(patch)) throw invalidType(param, "an object", patch);
    const values = new Map(this.#values);
    const changes = dialect === "ga" ? flatten(patch, param) : olderChanges(patch, param);
    for (const [path, value] of changes) values.set(path, value);
    return new SessionSettings(values);
  }

  get instructions(): string {
    return textOf(this.#values.get("instructions"));
  }

  get audible(): boolean {
    const value = this.#values.get("output_modalities");
    return Array.isArray(value) && value.includes("audio");
  }

  get inputFormat(): AudioFormat {
    return this.#format("audio.input.format");
  }

  get outputFormat(): AudioFormat {
    return this.#format("audio.output.format");
  }

  get transcription(): Fields | null {
    const value = this.#values.get("audio.input.transcription");
    return isRecord(value) ? value : null;
  }

  get turnDetection(): TurnDetection | null {
    const value = this.#values.get("audio.input.turn_detection");
    // Kept as `checkTurnDetection` returned it.
    return isRecord(value) ? (value as unknown as TurnDetection) : null;
  }

  get voice(): string {
    const value = this.#values.get("audio.output.voice");
    return isRecord(value) ? textOf(value["id"]) : textOf(value);
  }

  /** As the session object shows them. */
  get outputAudio(): { format: unknown; voice: unknown } {
    const shown = (name: string) => this.#values.get(`audio.output.${name}`);
    return { format: shown("format"), voice: shown("voice") };
  }

  get maxOutputTokens(): unknown {
    return this.#values.get("max_output_tokens");
  }

  /** Names of the functions the model may call. */
  get toolNames(): string[] {
    const value = this.#values.get("tools");
    const declared: readonly unknown[] = Array.isArray(value) ? value : [];
    return declared.map((tool) => (isRecord(tool) ? textOf(tool["name"]) : ""));
  }

  /** The object as the dialect shows it. */
  toJson(dialect: DialectName): Record<string, unknown> {
    return dialect === "ga" ? this.#nested() : this.#older();
  }

  #format(path: string): AudioFormat {
    const value = this.#values.get(path);
    return FORMATS[isRecord(value) ? textOf(value["type"]) : ""] ?? "pcm16";
  }

  #nested(): Record<string, unknown> {
    const input: Record<string, unknown> = {};
    const output: Record<string, unknown> = {};
    const session: Record<string, unknown> = { audio: { input, output } };
    for (const [path, value] of this.#values) {
      const name = path.slice(path.lastIndexOf(".") + 1);
      const home = path.startsWith("audio.input.")
        ? input
        : path.startsWith("audio.")
          ? output
          : session;
      home[name] = value;
    }
    return session;
  }

  #older(): Record<string, unknown> {
    const shown = SETTINGS.flatMap(({ path, older, toOlder }) => {
      const value = this.#values.get(path);
      return older === undefined ? [] : [[older, toOlder === undefined ? value : toOlder(value)]];
    });
    return { ...Object.fromEntries(shown), temperature: 0.8 };
  }
}

/** The settings of a nested object, by path. */
function* flatten(patch: Fields, param: string, under = ""): Generator<[string, unknown]> {
  for (const [name, value] of Object.entries(patch)) {
    const path = `${under}${name}`;
    const where = `${param}.${name}`;
    if (CONTAINERS.has(path)) {
      if (!isRecord(value)) throw invalidType(where, "an object", value);
      yield* flatten(value, where, `${path}.`);
      continue;
    }
    const setting = SETTINGS.find((each) => each.path === path);
    if (setting === undefined) throw unknownParameter(where);
    yield [path, setting.check?.(value, where) ?? value];
  }
}

function* olderChanges(patch: Fields, param: string): Generator<[string, unknown]> {
  for (const [name, value] of Object.entries(patch)) {
    if (OLDER_ONLY.has(name)) continue;
    const where = `${param}.${name}`;
    const setting = SETTINGS.find((each) => each.older === name);
    if (setting === undefined) throw unknownParameter(where);
    const current = setting.fromOlder?.(value, where) ?? value;
    yield [setting.path, setting.check?.(current, where) ?? current];
  }
}

function text(value: unknown, param: string): string {
  if (typeof value !== "string") throw invalidType(param, "a string", value);
  return value;
}

function list(value: unknown, param: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalidType(param, "an array of strings", value);
  return value;
}

function modalities(value: unknown, param: string): unknown {
  const [only, ...more] = list(value, param);
  // Audio brings its transcript along; asking for both at once is refused.
  if (more.length === 0 && (only === "audio" || only === "text")) return value;
  throw new ClientEventError(
    "invalid_value",
    `Invalid modalities: ${JSON.stringify(value)}. Supported combinations are: ['text'] and ['audio'].`,
    param,
  );
}

function objectOrNull(value: unknown, param: string): unknown {
  if (value !== null && !isRecord(value)) throw invalidType(param, "an object", value);
  return value;
}

function voice(value: unknown, param: string): unknown {
  if (isRecord(value) && typeof value["id"] === "string") return value;
  if (!VOICES.includes(textOf(value))) throw invalidValue(param, value, VOICES);
  return value;
}

function tools(value: unknown, param: string): unknown {
  for (const [index, tool] of list(value, param).entries()) {
    const where = `${param}[${index}]`;
    const fields = isRecord(tool) ? tool : {};
    if (fields["type"] !== "function") {
      throw invalidValue(`${where}.type`, fields["type"], ["function"]);
    }
    // In the chat API the function is an object of its own; here it is not, and many get it wrong.
    if (typeof fields["name"] !== "string") throw missingParameter(`${where}.name`);
    if ("function" in fields) throw unknownParameter(`${where}.function`);
  }
  return value;
}

function tokenLimit(value: unknown, param: string): unknown {
  return value === "inf" ? value : within(value, param, [1, 4096]);
}

function within(value: unknown, param: string, [least, most]: readonly [number, number]): number {
  if (typeof value !== "number") throw invalidType(param, "a number", value);
  if (value >= least && value <= most) return value;
  throw new ClientEventError(
    "invalid_value",
    `Invalid value: ${value}. Expected a value between ${least} and ${most}.`,
    param,
  );
}

function audioFormat() {
  const older = Object.fromEntries(Object.entries(FORMATS).map(([type, name]) => [name, type]));
  return {
    check(value: unknown, param: string): unknown {
      const { type, rate } = isRecord(value) ? value : {};
      if (!Object.hasOwn(FORMATS, textOf(type)))
        throw invalidValue(`${param}.type`, type, Object.keys(FORMATS));
      if (type === "audio/pcm" && rate !== undefined && rate !== PCM.rate) {
        throw invalidValue(`${param}.rate`, rate, [String(PCM.rate)]);
      }
      return type === "audio/pcm" ? PCM : { type };
    },
    fromOlder(value: unknown, param: string): unknown {
      const type = ownMember(older, textOf(value));
      if (type === undefined) throw invalidValue(param, value, Object.keys(older));
      return { type };
    },
    toOlder: (value: unknown): unknown => FORMATS[isRecord(value) ? textOf(value["type"]) : ""],
  };
}
