import { isRecord } from "../json.ts";
import { ClientEventError, invalidType, invalidValue, unknownParameter } from "./client-error.ts";

/** How a session finds out that the caller's turn is over, with the defaults filled in. */
export type TurnDetection = ServerVad | SemanticVad;

interface Automatic {
  /** Whether the end of a turn is answered without being asked. */
  readonly create_response: boolean;
  /** Whether the begin of a turn cancels the answer that is being given. */
  readonly interrupt_response: boolean;
}

export interface ServerVad extends Automatic {
  readonly type: "server_vad";
  /** 0 … 1. */
  readonly threshold: number;
  readonly prefix_padding_ms: number;
  readonly silence_duration_ms: number;
  /** Silence after an answer that makes the model speak again. */
  readonly idle_timeout_ms: number | null;
}

export interface SemanticVad extends Automatic {
  readonly type: "semantic_vad";
  readonly eagerness: "low" | "medium" | "high" | "auto";
}

const AUTOMATIC = { create_response: true, interrupt_response: true };

export const TURN_DETECTION_DEFAULT: ServerVad = {
  type: "server_vad",
  threshold: 0.5,
  prefix_padding_ms: 300,
  silence_duration_ms: 500,
  idle_timeout_ms: null,
  ...AUTOMATIC,
};

const SEMANTIC_DEFAULT: SemanticVad = { type: "semantic_vad", eagerness: "auto", ...AUTOMATIC };
const EAGERNESS = ["low", "medium", "high", "auto"];

type Check = (value: unknown, param: string) => void;

const CHECKS: Readonly<Record<string, Check>> = {
  type: () => {},
  threshold: number(0, 1),
  prefix_padding_ms: number(0, 5_000),
  silence_duration_ms: number(0, 60_000),
  idle_timeout_ms: (value, param) =>
    value === null ? undefined : number(5_000, 30_000)(value, param),
  create_response: flag,
  interrupt_response: flag,
  eagerness: (value, param) => {
    if (!EAGERNESS.some((each) => each === value)) throw invalidValue(param, value, EAGERNESS);
  },
};

/** Checks `turn_detection` and fills in what it leaves out. Throws {@link ClientEventError}. */
export function checkTurnDetection(value: unknown, param: string): TurnDetection | null {
  if (value === null) return null;
  if (!isRecord(value)) throw invalidType(param, "an object", value);
  const { type = "server_vad" } = value;
  const defaults = [TURN_DETECTION_DEFAULT, SEMANTIC_DEFAULT].find((each) => each.type === type);
  if (defaults === undefined) {
    throw invalidValue(`${param}.type`, type, ["server_vad", "semantic_vad"]);
  }
  for (const [name, field] of Object.entries(value)) {
    if (!Object.hasOwn(defaults, name)) throw unknownParameter(`${param}.${name}`);
    CHECKS[name]?.(field, `${param}.${name}`);
  }
  return { ...defaults, ...value };
}

function flag(value: unknown, param: string): void {
  if (typeof value !== "boolean") throw invalidType(param, "a boolean", value);
}

function number(least: number, most: number): Check {
  return (value, param) => {
    if (typeof value !== "number") throw invalidType(param, "a number", value);
    if (value >= least && value <= most) return;
    const bound = value < least ? `>= ${least}` : `<= ${most}`;
    const side = value < least ? "below minimum" : "above maximum";
    throw new ClientEventError(
      value < least ? "integer_below_min_value" : "integer_above_max_value",
      `Invalid '${param}': integer ${side} value. Expected a value ${bound}, but got ${value} instead.`,
      param,
    );
  };
}
