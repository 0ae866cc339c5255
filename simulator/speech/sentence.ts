/** After these a full stop does not end a sentence. */
const ABBREVIATION = /\b(?:mr|mrs|ms|dr|st|prof|no|vs|approx|dept|ext|inc|ltd|e\.g|i\.e)\.$/i;

/** Splits text where a reader would stop. The pieces keep their punctuation. */
export function splitSentences(text: string): string[] {
  const sentences: string[] = [];
  for (const piece of text.trim().split(/(?<=[.!?…]["'”’)]?)\s+/)) {
    const last = sentences.at(-1);
    if (last !== undefined && ABBREVIATION.test(last)) sentences.splice(-1, 1, `${last} ${piece}`);
    else if (/[\p{L}\p{N}]/u.test(piece)) sentences.push(piece);
  }
  return sentences;
}
