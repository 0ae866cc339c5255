import { SipError } from "./error.ts";
import { findOutside } from "./list.ts";

/** Parameters in order; keys in lower case, the value as written, `null` for a flag. */
export type Parameters = Map<string, string | null>;

const TOKEN = /^[\w!%'*+.`~-]+$/;
const GENERIC_VALUE = /^(?:[\w!%'*+.`~:[\]-]+|"(?:[^"\\]|\\[^])*")$/;

/**
 * Header parameters: `;name=value;flag`, whitespace allowed around `;` and `=` (RFC 3261 §25.1,
 * generic-param). `text` starts at the first semicolon or is empty.
 */
export function parseParameters(text: string, where: string): Parameters {
  const parameters: Parameters = new Map();
  for (let start = 0; start < text.length; ) {
    const end = findOutside(text, ";", start + 1);
    const parameter = text.slice(start + 1, end).trim();
    if (text[start] !== ";") throw syntax(where, text);
    addParameter(parameters, parameter, where);
    start = end;
  }
  return parameters;
}

function addParameter(parameters: Parameters, text: string, where: string): void {
  const equals = text.indexOf("=");
  const name = (equals < 0 ? text : text.slice(0, equals)).trim();
  const value = equals < 0 ? null : text.slice(equals + 1).trim();
  if (!TOKEN.test(name)) throw syntax(where, text);
  if (value !== null && !GENERIC_VALUE.test(value)) throw syntax(where, text);
  const key = name.toLowerCase();
  if (!parameters.has(key)) parameters.set(key, value);
}

export function formatParameters(parameters: Parameters): string {
  let text = "";
  for (const [name, value] of parameters) text += value === null ? `;${name}` : `;${name}=${value}`;
  return text;
}

/** Takes the quotes off a quoted string, and the backslashes out. */
export function unquote(value: string): string {
  if (!value.startsWith('"')) return value;
  return value.slice(1, -1).replaceAll(/\\([^])/g, "$1");
}

export function quote(value: string): string {
  return `"${value.replaceAll(/["\\]/g, "\\$&")}"`;
}

function syntax(where: string, text: string): SipError {
  return new SipError("SIP_SYNTAX", `expected parameters in ${where}, got "${text}"`);
}
