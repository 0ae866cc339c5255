import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const SECRET = /(?:_KEY|_SECRET|_CONNECTION_STRING)$/;

/** The secrets in an agent's settings, in every form in which they could stand in a file. */
export function secretsOf(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings)
    .filter(([name]) => SECRET.test(name))
    .map(([, value]) => /accesskey=(.+)/i.exec(value)?.[1] ?? value)
    .flatMap((value) => [value, encodeURIComponent(value)]);
}

/** The files below a folder that hold one of these texts, whatever kind of file they are. */
export function filesWith(folder: string, texts: readonly string[]): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => {
      const content = readFileSync(file);
      return texts.some((text) => content.includes(text));
    });
}
