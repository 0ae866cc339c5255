/**
 * The words of a text, as two people would agree on them over the telephone: case, punctuation and
 * spacing do not count.
 */
export function normalise(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[’']/g, "'")
    .replaceAll(/[^\p{L}\p{N}'%$.]+/gu, " ")
    .replaceAll(/(?<!\d)\.|\.(?!\d)/g, " ")
    .replaceAll(/\s+/g, " ")
    .trim();
}

/** Whether `heard` contains the words of `expected`, in order and next to each other. */
export function contains(heard: string, expected: string): boolean {
  return ` ${normalise(heard)} `.includes(` ${normalise(expected)} `);
}
