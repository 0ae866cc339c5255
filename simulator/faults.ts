/**
 * The fault plan: what goes wrong on purpose, and where. A party asks the plan at the place where
 * the fault would strike; a plan without that fault answers `undefined` and nothing happens.
 * Names are `party.what`; parameters are the fault's own.
 */
export interface Fault {
  /** `sbc.drop-header`, `acs.ignore-stop-audio`; every name is listed in docs/faults.md. */
  readonly name: string;
  /** The fault's parameters, such as `{ header: "X-Customer-ID" }`. */
  readonly with?: Readonly<Record<string, string | number | boolean>>;
  /** Strikes this many times, then no more. Default: always. */
  readonly times?: number;
  /** Lets this many occasions pass first. Default 0. */
  readonly after?: number;
}

export interface FaultPlan {
  /** The fault's parameters if it strikes on this occasion. Asking counts as an occasion. */
  strike(name: string): Readonly<Record<string, string | number | boolean>> | undefined;
  /** Adds a fault while the lab runs. */
  add(fault: Fault): void;
  /** Removes every fault, or those of one name. */
  clear(name?: string): void;
  /** What struck so far, in order. */
  readonly struck: readonly string[];
}

export function faultPlan(faults: readonly Fault[] = []): FaultPlan {
  const planned = new Map<Fault, number>(faults.map((fault) => [fault, 0]));
  const struck: string[] = [];

  const strikes = (fault: Fault, occasion: number) => {
    const { after = 0, times = Number.POSITIVE_INFINITY } = fault;
    return occasion >= after && occasion < after + times;
  };

  return {
    struck,
    strike(name) {
      for (const [fault, occasion] of planned) {
        if (fault.name !== name) continue;
        planned.set(fault, occasion + 1);
        if (!strikes(fault, occasion)) continue;
        struck.push(name);
        return fault.with ?? {};
      }
      return undefined;
    },
    add: (fault) => void planned.set(fault, 0),
    clear(name) {
      for (const fault of planned.keys()) {
        if (name === undefined || fault.name === name) planned.delete(fault);
      }
    },
  };
}

/** Text that is no fault or setting: `--fault` and `--agent-env` of the command line. */
export class FaultSyntaxError extends Error {
  override readonly name = "FaultSyntaxError";
  readonly code = "FAULT_SYNTAX";
}

/** `sbc.drop-header:header=X-Customer-ID,times=1` */
export function parseFault(text: string): Fault {
  const [name = "", parameters = ""] = text.split(/:(.*)/s, 2);
  if (!/^[a-z]+\.[a-z-]+(?:\.\w+)?$/.test(name)) {
    const got = JSON.stringify(text);
    throw new FaultSyntaxError(`expected party.what[:name=value,…], got ${got}`);
  }
  const pairs = parameters.split(",").filter((pair) => pair !== "");
  const { times, after, ...rest } = Object.fromEntries(pairs.map(parseSetting));
  return {
    name,
    with: rest,
    ...(times === undefined ? {} : { times: wholeNumber("times", times) }),
    ...(after === undefined ? {} : { after: wholeNumber("after", after) }),
  };
}

/** A count that is no number would make a fault that never strikes. */
function wholeNumber(name: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new FaultSyntaxError(`${name}: expected a whole number, got ${JSON.stringify(text)}`);
}

/** `NAME=value`; the value may be empty and may hold `=`. */
export function parseSetting(text: string): [name: string, value: string] {
  const at = text.indexOf("=");
  if (at < 1) throw new FaultSyntaxError(`expected name=value, got ${JSON.stringify(text)}`);
  return [text.slice(0, at), text.slice(at + 1)];
}
