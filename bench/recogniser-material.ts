import type { Audio } from "../simulator/media/frame.ts";
import { resample } from "../simulator/media/resample.ts";
import { HOP_SAMPLES } from "../simulator/speech/spectrum.ts";
import { FINE_RATE, makeTemplate, type Template } from "../simulator/speech/template.ts";
import { KNOWN_SENTENCES, UNKNOWN_SENTENCES } from "./recogniser-sentences.ts";
import type { Speaker } from "./recogniser-voices.ts";

/** Something said, at 8 kHz. */
export interface Utterance {
  /** What a recogniser has to answer; empty for what it has to reject. */
  expected: string;
  samples: Int16Array;
}

export interface Material {
  templates: Template[];
  known: Utterance[];
  unknown: Utterance[];
  garbled: Utterance[];
  /** 24 voices at once. */
  babble: Int16Array;
}

const RATE_HZ = 8000;
const BABBLE_VOICES = 24;
const BABBLE_SECONDS = 20;

export async function prepare(speaker: Speaker): Promise<Material> {
  const known: Utterance[] = [];
  const templates: Template[] = [];
  for (const text of KNOWN_SENTENCES) {
    const { audio, words } = await speaker.say(text);
    const template = makeTemplate({ text, audio, words });
    if (template !== undefined) templates.push(template);
    known.push({ expected: text, samples: atTelephoneRate(audio) });
  }
  const unknown: Utterance[] = [];
  for (const text of UNKNOWN_SENTENCES) {
    const { audio } = await speaker.say(text);
    unknown.push({ expected: "", samples: atTelephoneRate(audio) });
  }
  const babble = babbleOf([...known, ...unknown]);
  return { templates, known, unknown, garbled: garbledFrom(known, templates), babble };
}

export function atTelephoneRate({ samples, rateHz }: Audio): Int16Array {
  return resample(samples, rateHz, RATE_HZ);
}

/** Seven ways to spoil a sentence so that it is not that sentence any more. */
const SPOILERS: readonly ((samples: Int16Array) => Int16Array)[] = [
  (samples) => samples.slice(0, 0.6 * samples.length),
  (samples) => samples.slice(0, 0.8 * samples.length),
  (samples) => samples.slice(0.4 * samples.length),
  (samples) => samples.toReversed(),
  (samples) => swapped(samples),
  (samples) => samples.slice().fill(0, 0.35 * samples.length, 0.65 * samples.length),
  (samples) => resample(samples, 1150, 1000),
];

function swapped(samples: Int16Array): Int16Array {
  const middle = samples.length >> 1;
  return Int16Array.of(...samples.subarray(middle), ...samples.subarray(0, middle));
}

/** Every fourth sentence of at least four words, without the silence around it. */
function garbledFrom(known: readonly Utterance[], templates: readonly Template[]): Utterance[] {
  return known
    .map(({ expected, samples }, index) => ({
      expected,
      spoken: spokenPart(samples, templates[index]),
    }))
    .filter(({ expected }) => expected.split(" ").length >= 4)
    .filter((_, index) => index % 4 === 0)
    .map(({ spoken }) => spoken)
    .flatMap((spoken) => SPOILERS.map((spoil) => ({ expected: "", samples: spoil(spoken) })));
}

function spokenPart(samples: Int16Array, template: Template | undefined): Int16Array {
  if (template === undefined) return samples;
  const start = template.origin / FINE_RATE;
  return samples.subarray(start, start + template.frames * HOP_SAMPLES);
}

function babbleOf(utterances: readonly Utterance[]): Int16Array {
  const mixed = new Float32Array(BABBLE_SECONDS * RATE_HZ);
  for (let voice = 0; voice < BABBLE_VOICES; voice++) {
    let at = voice * 2711;
    for (let turn = 0; turn < 12; turn++) {
      const { samples } = utterances[(voice * 7 + turn * 5) % utterances.length] ?? {};
      for (const sample of samples ?? []) {
        const place = at++ % mixed.length;
        mixed[place] = (mixed[place] ?? 0) + sample / 8;
      }
    }
  }
  return Int16Array.from(mixed);
}
