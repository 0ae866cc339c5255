/** What becomes of strong language in a result's display text; the service's default is `masked`. */
export type Profanity = "masked" | "removed" | "raw";

/** The service's own list is not published. */
const STRONG = /\b(?:fuck|shit|bitch|bastard|asshole|cunt)(?:s|es|ed|er|ers|ing|ty|y)?\b/giu;

export function withoutProfanity(text: string, how: Profanity): string {
  if (how === "raw") return text;
  if (how === "masked") return text.replaceAll(STRONG, (word) => "*".repeat(word.length));
  return text
    .replaceAll(STRONG, "")
    .replaceAll(/\s+(?=[\s,.!?;:])/g, "")
    .trim();
}
