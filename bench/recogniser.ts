/**
 * How well and how fast the built-in recogniser works: `node bench/recogniser.ts [--voices slt,kal16]
 * [--channel "loss 5 %"]… [--quick] [--stall]`. 100 known sentences (all enrolled) and 40 unknown ones go through
 * telephone channels, four to a stream, and through some channels known ones garbled in seven ways;
 * every final result is scored. All channels take several minutes for a voice; name some to measure
 * those. `--quick` takes a quarter of the sentences through a few. `--stall` measures how long the
 * main thread stands still while the worker recognises, and nothing else. The voice `espeak` needs
 * the program espeak-ng.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type EarEvent, Listener } from "../simulator/speech/listener.ts";
import { startRecogniser } from "../simulator/speech/recogniser.ts";
import { type Channel, transmit } from "./recogniser-channel.ts";
import { atTelephoneRate, type Material, prepare, type Utterance } from "./recogniser-material.ts";
import { KNOWN_SENTENCES } from "./recogniser-sentences.ts";
import { openSpeaker } from "./recogniser-voices.ts";

const { values: options } = parseArgs({
  options: {
    voices: { type: "string", default: "slt,kal16" },
    channel: { type: "string", multiple: true },
    quick: { type: "boolean", default: false },
    stall: { type: "boolean", default: false },
  },
});

/** `quick` channels are part of a quick run; garbled sentences go through `garbled` ones. */
const CHANNELS: readonly (Channel & { quick?: boolean; garbled?: boolean })[] = [
  { name: "clean", quick: true, garbled: true },
  { name: "gain -20 dB", gainDb: -20 },
  { name: "gain +6 dB", gainDb: 6 },
  { name: "loss 2 %", loss: 0.02 },
  { name: "loss 5 %", loss: 0.05, quick: true, garbled: true },
  { name: "loss 10 %", loss: 0.1 },
  { name: "loss 10 %, zeros", loss: 0.1, zeros: true },
  { name: "loss 5 %, bursts of 3", loss: 0.05, burst: 3 },
  { name: "loss 10 %, bursts of 3", loss: 0.1, burst: 3 },
  { name: "white noise 20 dB", snrDb: 20 },
  { name: "white noise 10 dB", snrDb: 10, quick: true, garbled: true },
  { name: "white noise 5 dB", snrDb: 5 },
  { name: "pink noise 20 dB", snrDb: 20, noise: "pink" },
  { name: "pink noise 10 dB", snrDb: 10, noise: "pink" },
  { name: "pink noise 5 dB", snrDb: 5, noise: "pink" },
  { name: "gain -10 dB, noise 10 dB, loss 5 %", gainDb: -10, snrDb: 10, loss: 0.05, quick: true },
  { name: "noise 5 dB, loss 10 %", snrDb: 5, loss: 0.1 },
  { name: "a slip each second", slips: 1 },
  { name: "slips, loss 5 %, noise 10 dB", slips: 1, loss: 0.05, snrDb: 10 },
  { name: "babble 20 dB", snrDb: 20, noise: "babble", quick: true },
  { name: "babble 10 dB", snrDb: 10, noise: "babble" },
];
const UTTERANCES_PER_STREAM = 4;
/** 20 ms at 16 kHz. */
const CHUNK_SAMPLES = 320;

interface Tally {
  utterances: number;
  /** The right text, or nothing for what is unknown. */
  correct: number;
  /** A text that was not said. */
  wrong: number;
  /** The right text, and an empty result besides. */
  extra: number;
  audioMs: number;
  workMs: number;
  longestStepMs: number;
}

function judge(
  utterances: readonly Utterance[],
  channel: Channel,
  { templates, babble }: Material,
): Tally {
  const tally = {
    utterances: 0,
    correct: 0,
    wrong: 0,
    extra: 0,
    audioMs: 0,
    workMs: 0,
    longestStepMs: 0,
  };
  for (let at = 0; at < utterances.length; at += UTTERANCES_PER_STREAM) {
    const said = utterances.slice(at, at + UTTERANCES_PER_STREAM);
    const spoken = said.map(({ samples }) => samples);
    const { samples, marks } = transmit(spoken, channel, { seed: 1 + at, babble });
    const finals: EarEvent[] = [];
    const emit = (event: EarEvent) => {
      if (event.type === "phrase" || event.type === "noMatch") finals.push(event);
    };
    const listener = new Listener(templates, { segmentationSilenceMs: 600, emit });
    for (let from = 0; from < samples.length; from += CHUNK_SAMPLES) {
      const before = process.threadCpuUsage();
      listener.accept(samples.subarray(from, from + CHUNK_SAMPLES), 16_000);
      const tookMs = processorMs(before);
      tally.workMs += tookMs;
      tally.longestStepMs = Math.max(tally.longestStepMs, tookMs);
    }
    listener.finish();
    tally.audioMs += samples.length / 16;
    for (const [index, { expected }] of said.entries()) {
      const { startMs = 0, endMs = 0 } = marks[index] ?? {};
      const answers = finals.filter((final) => final.startMs < endMs && final.endMs > startMs);
      score(
        tally,
        expected,
        answers.map(({ text }) => text),
      );
    }
  }
  return tally;
}

/** Of this thread, since `before`. */
function processorMs(before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}

function score(tally: Tally, expected: string, answers: readonly string[]): void {
  tally.utterances++;
  const texts = answers.filter((text) => text !== "");
  const right = texts.includes(expected) || (expected === "" && texts.length === 0);
  if (right) tally.correct++;
  if (texts.some((text) => text !== expected)) tally.wrong++;
  if (expected !== "" && right && answers.includes("")) tally.extra++;
}

const every = (step: number) => (_: unknown, index: number) => index % step === 0;

function chosen({ name, quick = false }: { name: string; quick?: boolean }): boolean {
  return options.channel?.includes(name) ?? (quick || !options.quick);
}

function benchmark(material: Material): Tally[] {
  const share = options.quick ? 4 : 1;
  const tallies: Tally[] = [];
  for (const { garbled = false, ...channel } of CHANNELS.filter(chosen)) {
    const known = judge(material.known.filter(every(share)), channel, material);
    const unknown = judge(material.unknown.filter(every(share)), channel, material);
    tallies.push(known, unknown);
    const cells = [
      channel.name.padEnd(36),
      `${known.correct}/${known.utterances}`.padStart(8),
      String(known.wrong).padStart(6),
      String(known.extra).padStart(6),
      `${unknown.wrong}/${unknown.utterances}`.padStart(8),
    ];
    if (garbled) {
      const spoilt = judge(material.garbled.filter(every(share)), channel, material);
      tallies.push(spoilt);
      cells.push(`${spoilt.wrong}/${spoilt.utterances}`.padStart(8));
    }
    console.log(cells.join(" "));
  }
  return tallies;
}

const sum = (tallies: readonly Tally[], value: (tally: Tally) => number) =>
  tallies.reduce((total, tally) => total + value(tally), 0);

async function measureVoice(voice: string): Promise<void> {
  await using speaker = await openSpeaker(voice);
  const material = await prepare(speaker);
  console.log(`\nvoice ${voice}, ${material.templates.length} templates`);
  console.log(`${" ".repeat(36)}  correct  wrong  extra  unknown  garbled`);
  const tallies = benchmark(material);
  const audioMs = sum(tallies, (tally) => tally.audioMs);
  const workMs = sum(tallies, (tally) => tally.workMs);
  const longest = Math.max(...tallies.map(({ longestStepMs }) => longestStepMs));
  console.log(
    `${(audioMs / 1000).toFixed(0)} s of audio in ${(workMs / 1000).toFixed(1)} s of processor time: ` +
      `${(audioMs / workMs).toFixed(0)} x real time, longest step ${longest.toFixed(0)} ms`,
  );
}

/** Of 20 ms: a known sentence is enrolled this often while an ear listens. */
const CHUNKS_PER_ENROLMENT = 6;

/** Rounds with and without a recogniser alternate: what else the machine does falls on both. */
const STALL_ROUNDS = 4;
/** The monitor's timer; what it records is the time from one tick to the next, this much included. */
const TICK_MS = 1;

/** What the main thread does in 20 ms. */
interface Stall {
  /** The longest time it did not come to its next task when that was due, whatever the reason. */
  delayMs: number;
  /** The most processor time it used itself. */
  workMs: number;
}

/**
 * Speaks in real time into a recogniser in its worker, enrols the known sentences meanwhile, as the
 * emulated synthesiser does, and watches the main thread. Without `listening`: the same without a
 * recogniser, to tell what the machine itself does to a thread.
 */
async function longestStall(listening: boolean): Promise<Stall> {
  await using speaker = await openSpeaker("slt");
  const said = await Promise.all(KNOWN_SENTENCES.map((text) => speaker.say(text)));
  const spoken = said.slice(0, UTTERANCES_PER_STREAM).map(({ audio }) => atTelephoneRate(audio));
  const { samples } = transmit(spoken, { name: "clean" }, { seed: 1, babble: new Int16Array(0) });
  await using recogniser = await startRecogniser();
  await using ear = recogniser.listen({ onEvent: () => {} });
  const delay = monitorEventLoopDelay({ resolution: TICK_MS });
  await sleep(1000);
  delay.enable();
  let workMs = 0;
  for (let chunk = 0; chunk * CHUNK_SAMPLES < samples.length; chunk++) {
    const before = process.threadCpuUsage();
    const from = chunk * CHUNK_SAMPLES;
    if (listening) ear.accept(samples.subarray(from, from + CHUNK_SAMPLES), 16_000);
    const index = chunk / CHUNKS_PER_ENROLMENT;
    const known = listening ? said[index] : undefined;
    if (known !== undefined)
      void recogniser.enrol({ text: KNOWN_SENTENCES[index] ?? "", ...known });
    await sleep(20);
    workMs = Math.max(workMs, processorMs(before));
  }
  delay.disable();
  await ear.finish();
  return { delayMs: delay.max / 1e6 - TICK_MS, workMs };
}

async function measureStall(): Promise<void> {
  for (let round = 1; round <= STALL_ROUNDS; round++) {
    for (const listening of [false, true]) {
      const { delayMs, workMs } = await longestStall(listening);
      console.log(
        `round ${round}, main thread ${listening ? "with" : "without"} a recogniser: longest stall` +
          ` ${delayMs.toFixed(1)} ms, most processor time in 20 ms ${workMs.toFixed(1)} ms`,
      );
    }
  }
}

if (options.stall) await measureStall();
else for (const voice of options.voices.split(",")) await measureVoice(voice);
