import type { Word } from "./flite.ts";

/** One sound of a pronunciation. `pau` is a pause. */
export interface Phone {
  name: string;
  startMs: number;
  endMs: number;
}

const PAUSE = "pau";

/**
 * Finds where each word lies in spoken phones. `slowly` is the same words spoken with a pause after
 * each, which tells which phones belong to which word; the two sequences differ a little (a word
 * alone is pronounced more carefully), so they are aligned by edit distance.
 */
export function alignWords(
  words: readonly string[],
  spoken: readonly Phone[],
  slowly: readonly Phone[],
): Word[] {
  const sounds = spoken.filter(({ name }) => name !== PAUSE);
  const groups = wordOfEachPhone(slowly);
  if ((groups.at(-1)?.word ?? -1) + 1 !== words.length) return shareByLength(words, sounds);
  const assigned = assign(sounds, groups);
  return words.map((text, index) => spanOf(text, sounds, assigned, index));
}

function wordOfEachPhone(phones: readonly Phone[]): { name: string; word: number }[] {
  const groups: { name: string; word: number }[] = [];
  let word = -1;
  let afterPause = true;
  for (const { name } of phones) {
    if (name === PAUSE) afterPause = true;
    else {
      if (afterPause) word++;
      afterPause = false;
      groups.push({ name, word });
    }
  }
  return groups;
}

/** The word index of every sound, by the cheapest alignment of the two phone sequences. */
function assign(
  sounds: readonly Phone[],
  groups: readonly { name: string; word: number }[],
): number[] {
  const width = groups.length + 1;
  const cost = new Uint16Array((sounds.length + 1) * width);
  const at = (row: number, column: number) => cost[row * width + column] ?? 0;
  const substitution = (row: number, column: number) =>
    at(row - 1, column - 1) + (sounds[row - 1]?.name === groups[column - 1]?.name ? 0 : 1);
  for (let row = 0; row <= sounds.length; row++) {
    for (let column = 0; column < width; column++) {
      cost[row * width + column] =
        row === 0 || column === 0
          ? row + column
          : Math.min(substitution(row, column), at(row - 1, column) + 1, at(row, column - 1) + 1);
    }
  }
  const assigned: number[] = [];
  let row = sounds.length;
  let column = groups.length;
  while (row > 0) {
    const word = groups[Math.max(0, column - 1)]?.word ?? 0;
    if (column > 0 && at(row, column) === substitution(row, column)) {
      assigned[--row] = word;
      column--;
    } else if (column > 0 && at(row, column) === at(row, column - 1) + 1) column--;
    else assigned[--row] = word;
  }
  return assigned;
}

function spanOf(
  text: string,
  sounds: readonly Phone[],
  assigned: readonly number[],
  word: number,
): Word {
  const first = assigned.findIndex((index) => index >= word);
  const startMs = sounds[first]?.startMs ?? sounds.at(-1)?.endMs ?? 0;
  const endMs = sounds[assigned.lastIndexOf(word)]?.endMs ?? startMs;
  return { text, startMs, durationMs: endMs - startMs };
}

/** Where pronunciation does not tell: in proportion to the letters. */
export function shareByLength(words: readonly string[], sounds: readonly Phone[]): Word[] {
  const startMs = sounds[0]?.startMs ?? 0;
  const lettersTotal = words.reduce((sum, word) => sum + word.length, 0);
  const perLetterMs = ((sounds.at(-1)?.endMs ?? 0) - startMs) / Math.max(1, lettersTotal);
  let letters = 0;
  return words.map((text) => {
    const from = startMs + letters * perLetterMs;
    letters += text.length;
    return {
      text,
      startMs: Math.round(from),
      durationMs: Math.round(text.length * perLetterMs),
    };
  });
}
