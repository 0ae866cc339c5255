/** A sentence this short is spoken with the next one; alone it would sound chopped. */
const SHORTEST = 12;
/** Without any full stop, a clause this long is spoken at its last comma or space. */
const LONGEST = 240;

/** Words whose full stop ends no sentence. */
const ABBREVIATION = /(?:^|\s)(?:mr|mrs|ms|dr|st|no|vs|approx|e\.g|i\.e|u\.s|[A-Z])\.$/i;

/**
 * Cuts a stream of text pieces into sentences as early as is safe: a sentence is complete when the
 * next one begins, so "3." of "3.50" is not taken for an end.
 */
export class SentenceSplitter {
  #text = "";

  /** Sentences completed by this piece, each with its trailing space trimmed. */
  push(piece: string): string[] {
    this.#text += piece;
    const sentences: string[] = [];
    for (let end = this.#end(); end > 0; end = this.#end()) {
      const sentence = this.#text.slice(0, end).trim();
      this.#text = this.#text.slice(end).trimStart();
      if (sentence !== "") sentences.push(sentence);
    }
    return sentences;
  }

  /** What is left when the stream has ended. */
  flush(): string[] {
    const rest = this.#text.trim();
    this.#text = "";
    return rest === "" ? [] : [rest];
  }

  #end(): number {
    for (const { index, 0: mark } of this.#text.matchAll(/[.!?…]+["')\]]*(?=\s)|\n+/g)) {
      const end = index + mark.length;
      if (end >= SHORTEST && !ABBREVIATION.test(this.#text.slice(0, end))) return end;
    }
    return this.#text.length > LONGEST ? this.#clauseEnd() : 0;
  }

  #clauseEnd(): number {
    const head = this.#text.slice(0, LONGEST);
    const comma = Math.max(head.lastIndexOf(", "), head.lastIndexOf("; "));
    const cut = comma > SHORTEST ? comma : head.lastIndexOf(" ");
    return cut > 0 ? cut + 1 : LONGEST;
  }
}
