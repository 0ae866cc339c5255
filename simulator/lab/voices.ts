import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Audio } from "../media/frame.ts";
import type { MediaSession } from "../media/session.ts";
import { readWav } from "../media/wav.ts";
import type { Word } from "../speech/flite.ts";
import { type Recogniser, startRecogniser } from "../speech/recogniser.ts";
import { type Synthesiser, startSynthesiser, type Utterance } from "../speech/synthesiser.ts";
import type { PartyTrace } from "../trace.ts";

/** A text with its recorded audio, as `fixtures/audio/manifest.json` lists it. */
interface Recorded {
  readonly file: string;
  readonly text: string;
  readonly voice: string;
  readonly words?: readonly Word[];
}

export interface VoicesOptions {
  /** The folder with `manifest.json` and its WAV files; left out: everything is synthesised. */
  audioFolder?: string;
  /** Where synthesised speech is kept between runs. Default: only in memory. */
  cacheFolder?: string | undefined;
}

/** Everything in the lab that turns text into audio, and audio back into text. */
export interface Voices extends AsyncDisposable {
  readonly synthesiser: Synthesiser;
  readonly recogniser: Recogniser;
  /** The audio of a text in a voice: recorded, else synthesised. Every ear knows it from then on. */
  audioOf(text: string, voice: string): Promise<Audio>;
  /** A WAV file's audio, known to every ear by `text`. */
  recording(file: string, text: string): Promise<Audio>;
  /** The words of a text, spoken as {@link Voices.audioOf} does, with their places in the audio. */
  utterance(text: string, voice: string): Promise<Utterance>;
  /** Opens an ear for one turn of somebody. */
  turnEar(): TurnEar;
  /** Puts an ear on a leg: what it makes out goes into the trace as `heard` events. */
  listenTo(session: MediaSession, trace: PartyTrace, call: string): LegEar;
}

/** An ear for one turn. */
export interface TurnEar {
  accept(samples: Int16Array, rateHz: number): void;
  /** What was said, when the turn is over; empty where nothing was made out. */
  finish(): Promise<string>;
}

/** An ear on a leg. */
export interface LegEar extends AsyncDisposable {
  /** Judges what is still open; resolves when everything heard is in the trace. */
  finish(): Promise<void>;
}

export async function startVoices({
  audioFolder,
  cacheFolder,
}: VoicesOptions = {}): Promise<Voices> {
  const [synthesiser, recogniser] = await Promise.all([
    startSynthesiser({ cacheFolder }),
    startRecogniser(),
  ]);
  const recorded = audioFolder === undefined ? [] : readManifest(audioFolder);

  const recording = async (file: string, text: string, words?: readonly Word[]): Promise<Audio> => {
    const audio = await readWav(file);
    await recogniser.enrol({ text, audio, ...(words === undefined ? {} : { words }) });
    return audio;
  };

  const utterance = async (text: string, voice: string): Promise<Utterance> => {
    const spoken = await synthesiser.synthesise({ text, voice });
    await Promise.all(
      spoken.sentences.map((sentence) =>
        recogniser.enrol({ text: sentence.text, audio: sentence, words: sentence.words }),
      ),
    );
    return spoken;
  };

  return {
    synthesiser,
    recogniser,
    recording,
    utterance,
    turnEar: () => openTurnEar(recogniser),
    async audioOf(text, voice) {
      const fixture = recorded.find((entry) => entry.text === text && entry.voice === voice);
      if (fixture !== undefined && audioFolder !== undefined) {
        return recording(join(audioFolder, fixture.file), text, fixture.words);
      }
      return utterance(text, voice);
    },
    listenTo: (session, trace, call) => listen(recogniser, session, { trace, call }),
    async [Symbol.asyncDispose]() {
      await Promise.all([synthesiser[Symbol.asyncDispose](), recogniser[Symbol.asyncDispose]()]);
    },
  };
}

function openTurnEar(recogniser: Recogniser): TurnEar {
  const phrases: string[] = [];
  const ear = recogniser.listen({
    onEvent: ({ type, text }) => {
      if (type === "phrase") phrases.push(text);
    },
  });
  return {
    accept: (samples, rateHz) => ear.accept(samples, rateHz),
    async finish() {
      await ear.finish();
      await ear[Symbol.asyncDispose]();
      return phrases.join(" ");
    },
  };
}

function listen(
  recogniser: Recogniser,
  session: MediaSession,
  { trace, call }: { trace: PartyTrace; call: string },
): LegEar {
  const ear = recogniser.listen({
    onEvent: ({ type, text, startMs, endMs, confidence }) => {
      // A sound too short to be speech is nothing that anybody heard.
      if (type === "discard") return;
      const sure = confidence === undefined ? {} : { confidence };
      trace.record({ type: "heard", kind: type, text, startMs, endMs, ...sure }, call);
    },
  });
  const stop = session.onFrame(({ samples, rateHz }) => ear.accept(samples, rateHz));
  return {
    finish: () => ear.finish(),
    async [Symbol.asyncDispose]() {
      stop();
      await ear[Symbol.asyncDispose]();
    },
  };
}

function readManifest(folder: string): readonly Recorded[] {
  const file = join(folder, "manifest.json");
  // The file is ours, made by `linecheck audio`; a missing one means that nothing is recorded.
  return existsSync(file)
    ? (JSON.parse(readFileSync(file, "utf8")) as Recorded[]).filter(hasFile)
    : [];
}

/** A text that `linecheck audio` has not recorded yet is synthesised like any other. */
function hasFile({ file }: Partial<Recorded>): boolean {
  return file !== undefined;
}
