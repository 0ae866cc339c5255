/**
 * Splits a header value at its top-level commas: those outside quoted strings and angle brackets
 * (RFC 3261 §7.3.1). Empty elements are dropped.
 */
export function splitList(value: string): string[] {
  if (!value.includes(",")) return value === "" ? [] : [value];
  const elements: string[] = [];
  let start = 0;
  for (let end = elementEnd(value, start); start <= value.length; end = elementEnd(value, start)) {
    const element = value.slice(start, end).trim();
    if (element !== "") elements.push(element);
    start = end + 1;
  }
  return elements;
}

/** Index of the comma that ends the element starting at `start`, or the text's length. */
export function elementEnd(value: string, start: number): number {
  return findOutside(value, ",", start);
}

/** First `sought` character outside quotes and angle brackets, or the text's length. */
export function findOutside(value: string, sought: string, start: number): number {
  if (!value.includes(sought, start)) return value.length;
  let quoted = false;
  let bracketed = false;
  for (let at = start; at < value.length; at++) {
    const character = value[at];
    if (quoted) {
      if (character === "\\") at++;
      else if (character === '"') quoted = false;
    } else if (character === '"' && !bracketed) quoted = true;
    else if (!bracketed && character === sought) return at;
    else if (character === "<") bracketed = true;
    else if (character === ">") bracketed = false;
  }
  return value.length;
}
