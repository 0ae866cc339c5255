import type { Call } from "./call.ts";
import type { Core } from "./core.ts";
import type { Fields } from "./fields.ts";
import type { Policy } from "./policy.ts";
import { refusal } from "./service-error.ts";

/** Limits of Microsoft's "Custom context" how-to. */
const KEY_LIMIT = 64;
const VALUE_LIMIT = 256;
const CUSTOM_LIMIT = 5;
const VOIP_LIMIT = 1000;
const VOIP_VALUE_LIMIT = 1024;
const USER_TO_USER = "User-To-User";
const ILLEGAL_KEY = /[^\w.!%*+~-]/;
const ILLEGAL_VALUE = /[^\w=;.!%*+~-]/;
/** What no policy lets through: it would end the header and begin another (RFC 3261 §25.1). */
const CONTROL = /[\r\n\0]/;

/** What is wrong with a request's custom headers, by name. */
class CustomHeaderFault extends Error {
  override readonly name = "CustomHeaderFault";
  readonly code = "ACS_CUSTOM_HEADER";
}

/** Headers an operation sends along: to the SBC, or to another application. */
export interface CustomHeaders {
  readonly sipHeaders: Readonly<Record<string, string>>;
  readonly voipHeaders: Readonly<Record<string, string>>;
}

/** Reads `customCallingContext`. Illegal headers are 400/8523 by name, and the trace says which. */
export function readCustomHeaders(core: Core, call: Call, body: Fields): CustomHeaders {
  try {
    const sipHeaders = readSipHeaders(body, core.policy.customHeaders);
    const voipHeaders = body.fields("customCallingContext")?.texts("voipHeaders") ?? {};
    checkVoipHeaders(voipHeaders);
    return { sipHeaders, voipHeaders };
  } catch (error) {
    if (!(error instanceof CustomHeaderFault)) throw error;
    core.trace.record({ type: "error", code: error.code, message: error.message }, call.id);
    throw refusal.invalidContext(error.message);
  }
}

/**
 * `customCallingContext.sipHeaders` as it may go to the SBC. Under `strict` a violation throws
 * {@link CustomHeaderFault}; `truncate` cuts and drops instead; `pass` sends what it got. A line
 * break is never let through.
 */
function readSipHeaders(
  body: Fields,
  policy: Policy["customHeaders"],
): Readonly<Record<string, string>> {
  const context = body.fields("customCallingContext");
  const entries = Object.entries(context?.texts("sipHeaders") ?? {});
  for (const [name, value] of entries) refuseControl(name, value);
  if (policy === "pass") return Object.fromEntries(entries);
  const custom = entries.filter(([name]) => !isUserToUser(name));
  if (policy === "truncate") return truncated(entries, custom);
  if (custom.length > CUSTOM_LIMIT) {
    throw new CustomHeaderFault(`${custom.length} custom headers, at most ${CUSTOM_LIMIT} allowed`);
  }
  for (const [name, value] of entries) {
    const fault = faultOf(name, value);
    if (fault !== undefined) throw new CustomHeaderFault(fault);
  }
  return Object.fromEntries(entries);
}

function truncated(
  entries: readonly [string, string][],
  custom: readonly [string, string][],
): Record<string, string> {
  const kept = entries.filter(
    (entry) => isUserToUser(entry[0]) || custom.indexOf(entry) < CUSTOM_LIMIT,
  );
  const cut = kept.map(([name, value]) => [name, value.slice(0, VALUE_LIMIT)] as const);
  return Object.fromEntries(cut.filter(([name, value]) => faultOf(name, value) === undefined));
}

function checkVoipHeaders(headers: Readonly<Record<string, string>>): void {
  const entries = Object.entries(headers);
  if (entries.length > VOIP_LIMIT) {
    throw new CustomHeaderFault(`${entries.length} VoIP headers, at most ${VOIP_LIMIT} allowed`);
  }
  for (const [name, value] of entries) {
    if (name.length <= KEY_LIMIT && value.length <= VOIP_VALUE_LIMIT) continue;
    const limits = `${KEY_LIMIT} and ${VOIP_VALUE_LIMIT} characters`;
    throw new CustomHeaderFault(`VoIP header ${name}: name and value may have ${limits}`);
  }
}

function refuseControl(name: string, value: string): void {
  if (!CONTROL.test(name) && !CONTROL.test(value)) return;
  throw new CustomHeaderFault(`header ${JSON.stringify(name)} contains a line break or NUL`);
}

function faultOf(name: string, value: string): string | undefined {
  if (value.length > VALUE_LIMIT) {
    return `header ${name}: value of ${value.length} characters, at most ${VALUE_LIMIT} allowed`;
  }
  const illegal = ILLEGAL_VALUE.exec(value)?.[0];
  if (illegal !== undefined) {
    return `header ${name}: ${JSON.stringify(illegal)} is not allowed in a value`;
  }
  return isUserToUser(name) ? undefined : nameFault(name);
}

/** `X-…` and `X-MS-Custom-…` pass; the rest of `X-MS-…` is Microsoft's own. */
function nameFault(name: string): string | undefined {
  if (name.length > KEY_LIMIT) {
    return `header ${name}: name of ${name.length} characters, at most ${KEY_LIMIT} allowed`;
  }
  const illegal = ILLEGAL_KEY.exec(name)?.[0];
  if (illegal !== undefined) {
    return `header ${JSON.stringify(name)}: ${JSON.stringify(illegal)} is not allowed in a name`;
  }
  if (/^x-ms-custom-./i.test(name) || (/^x-./i.test(name) && !/^x-ms-/i.test(name))) {
    return undefined;
  }
  return `header ${name}: only X-*, X-MS-Custom-* and ${USER_TO_USER} may be sent`;
}

function isUserToUser(name: string): boolean {
  return name.toLowerCase() === USER_TO_USER.toLowerCase();
}
