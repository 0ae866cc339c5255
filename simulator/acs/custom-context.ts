import type { Fields } from "./fields.ts";
import type { Policy } from "./policy.ts";
import { refusal } from "./service-error.ts";

/** Limits of Microsoft's "Custom context" how-to. */
const KEY_LIMIT = 64;
const VALUE_LIMIT = 256;
const CUSTOM_LIMIT = 5;
const USER_TO_USER = "User-To-User";
const KEY_ALPHABET = /^[\w.!%*+~-]+$/;
const VALUE_ALPHABET = /^[\w=;.!%*+~-]*$/;
/** What no policy lets through: it would end the header and begin another (RFC 3261 §25.1). */
const CONTROL = /[\r\n\0]/;

/**
 * `customCallingContext.sipHeaders` as it may go to the SBC. Under `strict` a violation is
 * 400/8523; `truncate` cuts and drops instead; `pass` sends what it got.
 */
export function readSipHeaders(
  body: Fields,
  policy: Policy["customHeaders"],
): Readonly<Record<string, string>> {
  const context = body.fields("customCallingContext");
  const entries = Object.entries(context?.texts("sipHeaders") ?? {});
  context?.texts("voipHeaders");
  if (entries.some(([name, value]) => CONTROL.test(name) || CONTROL.test(value))) {
    throw refusal.invalidField("customCallingContext");
  }
  if (policy === "pass") return Object.fromEntries(entries);
  const custom = entries.filter(([name]) => !isUserToUser(name));
  const userToUser = entries.filter(([name]) => isUserToUser(name)).slice(0, 1);
  const judged = [...custom.slice(0, CUSTOM_LIMIT), ...userToUser];
  if (policy === "truncate") {
    const cut = judged.map(([name, value]) => [name, value.slice(0, VALUE_LIMIT)] as const);
    return Object.fromEntries(cut.filter(([name, value]) => isLegal(name, value)));
  }
  if (custom.length > CUSTOM_LIMIT || !judged.every(([name, value]) => isLegal(name, value))) {
    throw refusal.invalidField("customCallingContext");
  }
  return Object.fromEntries(judged);
}

function isLegal(name: string, value: string): boolean {
  if (value.length > VALUE_LIMIT || !VALUE_ALPHABET.test(value)) return false;
  if (isUserToUser(name)) return true;
  return name.length <= KEY_LIMIT && KEY_ALPHABET.test(name) && isAllowedName(name);
}

/** `X-…` and `X-MS-Custom-…`; the rest of `X-MS-…` is Microsoft's own. */
function isAllowedName(name: string): boolean {
  return /^x-ms-custom-./i.test(name) || (/^x-./i.test(name) && !/^x-ms-/i.test(name));
}

function isUserToUser(name: string): boolean {
  return name.toLowerCase() === USER_TO_USER.toLowerCase();
}
