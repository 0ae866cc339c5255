/**
 * What the agent believes the caller heard of a realtime model, against what was audible:
 * `node bench/realtime-heard.ts [--step 40]`
 * Each reply is made into sound by the lab's synthesiser, which knows where every word begins, and
 * given to the agent's own accounting as the Realtime emulator sends it: 200 ms of audio an event,
 * five times as fast as it plays, words 600 ms ahead of their audio. It is then cut after every
 * `step` milliseconds of play-out, as an interruption would, while it is still coming or complete.
 * Pieces arrive by play-out position, so no clock is involved. A word is audible once it has begun.
 * Before the replies one sentence is heard to its end, as the greeting is on a call.
 */
import { parseArgs } from "node:util";
import { SpokenItems } from "../agent/realtime-spoken.ts";
import { playedLine } from "../agent/testing/played-line.ts";
import { encodeAudio } from "../simulator/openai/realtime/audio.ts";
import { placedWords, type SpokenWord } from "../simulator/openai/realtime/voice.ts";
import { type Synthesiser, startSynthesiser } from "../simulator/speech/synthesiser.ts";

const GREETING = "Hello Dana, I see you are calling about billing. How can I help you today?";
const REPLIES = [
  "Your contract runs for twenty four months and renews every year, unless you cancel it three months before it ends, in writing or by telephone.",
  "Your balance is forty nine dollars and ninety nine cents. Your next payment is due on the first of March.",
  "I can see two invoices on your account. The first one was paid in January, and the second one is still open. Would you like to pay it now?",
  "Yes, of course. Please unplug the router, wait for thirty seconds, plug it in again, and tell me which lights you see.",
];
const BYTES_PER_MS = 48;
const CHUNK_MS = 200;
const SPEED = 5;
const WORD_LEAD_MS = 600;

interface Reply {
  readonly words: readonly SpokenWord[];
  readonly audio: Buffer;
}

/** How many words the agent's account has too many (positive) or too few. */
type Difference = number;

async function prepare(synthesiser: Synthesiser, text: string): Promise<Reply> {
  const utterance = await synthesiser.synthesise({ text });
  return { words: placedWords(text, utterance), audio: encodeAudio(utterance, "pcm16") };
}

/** Gives what has arrived when `playedMs` of the item have been played. Returns whether that is all. */
function receive(
  spoken: SpokenItems,
  id: string,
  { words, audio }: Reply,
  playedMs: number,
): boolean {
  const arrived = Math.floor((playedMs * SPEED) / CHUNK_MS) + 1;
  let told = 0;
  for (let chunk = 0; chunk < arrived && chunk * CHUNK_MS * BYTES_PER_MS < audio.length; chunk++) {
    const endMs = (chunk + 1) * CHUNK_MS;
    const last = endMs * BYTES_PER_MS >= audio.length;
    for (; told < words.length; told++) {
      const word = words[told];
      if (word === undefined || (!last && word.startMs >= endMs + WORD_LEAD_MS)) break;
      spoken.tell(id, word.text);
    }
    spoken.play(id, audio.subarray(chunk * CHUNK_MS * BYTES_PER_MS, endMs * BYTES_PER_MS));
  }
  return arrived * CHUNK_MS * BYTES_PER_MS >= audio.length;
}

function cutAfter(
  greeting: Reply,
  reply: Reply,
  playedMs: number,
): { complete: boolean; difference: Difference } {
  const { line, media } = playedLine();
  const spoken = new SpokenItems(media);
  receive(spoken, "greeting", greeting, greeting.audio.length);
  spoken.complete();
  line.playedMs = line.writtenMs;
  spoken.takeHeard();
  const startMs = line.writtenMs;
  const complete = receive(spoken, "reply", reply, playedMs);
  if (complete) spoken.complete();
  line.playedMs = startMs + playedMs;
  const believed = (spoken.cut()[0]?.text ?? "").split(/\s+/).filter((word) => word !== "").length;
  const audible = reply.words.filter((word) => word.startMs < playedMs).length;
  return { complete, difference: believed - audible };
}

function report(name: string, differences: readonly Difference[]): void {
  const counts = new Map<Difference, number>();
  for (const difference of differences) counts.set(difference, (counts.get(difference) ?? 0) + 1);
  const row = [...counts]
    .toSorted(([one], [other]) => one - other)
    .map(([words, count]) => `${words}: ${count}`);
  console.log(
    `${name.padEnd(24)} ${String(differences.length).padStart(5)} cuts   words too many (too few): ${row.join("  ")}`,
  );
}

const { values } = parseArgs({ options: { step: { type: "string", default: "40" } } });
await using synthesiser = await startSynthesiser();
const greeting = await prepare(synthesiser, GREETING);
const coming: Difference[] = [];
const complete: Difference[] = [];
for (const text of REPLIES) {
  const reply = await prepare(synthesiser, text);
  const durationMs = reply.audio.length / BYTES_PER_MS;
  for (let playedMs = 0; playedMs < durationMs; playedMs += Number(values.step)) {
    const cut = cutAfter(greeting, reply, playedMs);
    (cut.complete ? complete : coming).push(cut.difference);
  }
}
report("while it is coming", coming);
report("when all of it is there", complete);
