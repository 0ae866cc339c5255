import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { resample } from "../media/resample.ts";
import { writeWav } from "../media/wav.ts";
import { startSynthesiser } from "../speech/synthesiser.ts";
import { readArguments } from "./usage.ts";

/** One entry of `manifest.json`; `file` and `words` are written by this command. */
interface Entry {
  readonly text: string;
  readonly voice: string;
  readonly file?: string;
  readonly words?: readonly { text: string; startMs: number; durationMs: number }[];
}

/** WAV fixtures are wide-band, as a good microphone gives them; the calls make 8 kHz of them. */
const RATE_HZ = 16_000;

/**
 * `linecheck audio`: synthesises the texts of a folder's `manifest.json` that have no recording
 * yet. A recording of a person's own voice is put in its place by hand, under the same text.
 */
export async function audio(args: string[]): Promise<number> {
  const { positionals } = readArguments({ args, allowPositionals: true });
  const folder = resolve(positionals[0] ?? "fixtures/audio");
  const manifest = join(folder, "manifest.json");
  // Ours, and edited by hand only to add texts.
  const entries = JSON.parse(readFileSync(manifest, "utf8")) as Entry[];
  await using synthesiser = await startSynthesiser();
  const written: Entry[] = [];
  for (const entry of entries) {
    if (entry.file !== undefined) {
      written.push(entry);
      continue;
    }
    const { text, voice } = entry;
    const { samples, rateHz, words } = await synthesiser.synthesise({ text, voice });
    const file = `${fileName(text)}.wav`;
    await writeWav(join(folder, file), {
      samples: resample(samples, rateHz, RATE_HZ),
      rateHz: RATE_HZ,
    });
    written.push({ text, voice, file, words });
    process.stdout.write(`${file}  “${text}”\n`);
  }
  writeFileSync(manifest, `${JSON.stringify(written, null, 2)}\n`);
  return 0;
}

function fileName(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z\d]+/g, "-")
    .replaceAll(/^-|-$/g, "");
}
