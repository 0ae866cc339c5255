/** After these a full stop does not end a sentence. */
const ABBREVIATION = /\b(?:mr|mrs|ms|dr|st|prof|no|vs|approx|dept|ext|inc|ltd|e\.g|i\.e)\.$/i;
const BLANKS_AFTER_STOP = /(?<=[.!?…]["'”’)]?)\s+/g;
/** Marks alone are nothing to say. */
const SPOKEN = /[\p{L}\p{N}]/u;

/** Splits text where a reader would stop. The pieces keep their punctuation. */
export function splitSentences(text: string): string[] {
  const sentences: string[] = [];
  for (const piece of text.trim().split(BLANKS_AFTER_STOP)) {
    const last = sentences.at(-1);
    if (last !== undefined && ABBREVIATION.test(last)) sentences.splice(-1, 1, `${last} ${piece}`);
    else if (SPOKEN.test(piece)) sentences.push(piece);
  }
  return sentences;
}

/**
 * Cuts text that still grows after its last whole sentence. The rest stays as it came: its blanks
 * and marks belong to what follows.
 */
export function cutSentences(text: string): [whole: string, rest: string] {
  let end = 0;
  for (const { 0: blanks, index } of text.matchAll(BLANKS_AFTER_STOP)) {
    const sentence = text.slice(end, index);
    if (SPOKEN.test(sentence) && !ABBREVIATION.test(sentence)) end = index + blanks.length;
  }
  return [text.slice(0, end), text.slice(end)];
}
