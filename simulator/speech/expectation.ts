import type { Template } from "./template.ts";

/** What an ear is told to listen for. */
export interface Expectation {
  /** BCP 47; nothing else is understood. Default: every language. */
  languages?: readonly string[];
  /** Phrases that may come although they are rare. */
  phrases?: readonly string[];
}

/** The templates that an ear with this expectation knows. */
export function expected(
  templates: readonly Template[],
  { languages = [], phrases = [] }: Expectation,
): readonly Template[] {
  const listed = new Set(phrases.map(plain));
  const spoken = new Set(languages.map(baseOf));
  return templates.filter(({ text, language, rare }) => {
    return (
      (spoken.size === 0 || spoken.has(baseOf(language))) && (!rare || listed.has(plain(text)))
    );
  });
}

/** Which of the languages asked for a sentence is in: its own, or one that differs in the region only. */
export function languageAmong(languages: readonly string[], language: string): string {
  const related = languages.find((each) => baseOf(each) === baseOf(language));
  return languages.find((each) => each === language) ?? related ?? language;
}

function baseOf(language: string): string {
  return language.split("-")[0]?.toLowerCase() ?? "";
}

function plain(text: string): string {
  return text.toLowerCase().replaceAll(/[^\p{L}\p{N} ]/gu, "");
}
