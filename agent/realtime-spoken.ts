import type { MediaStream } from "./media-stream.ts";

/** What a caller heard of one item that was cut. */
export interface CutItem {
  readonly id: string;
  /** 0: nothing of it. */
  readonly heardMs: number;
  /** Whole words. */
  readonly text: string;
}

/** One item of the model, on the media stream's time line. */
interface Item {
  readonly id: string;
  readonly startMs: number;
  endMs: number;
  text: string;
  /** Where the audio stood when each word was told. */
  readonly told: { readonly until: number; readonly audioMs: number }[];
  /** Milliseconds of sound, without its pauses, in the first n pieces of 20 ms. */
  readonly soundMs: number[];
  carry: Buffer;
  complete: boolean;
}

/** Items are cut up for pauses in pieces of so long: 16-bit mono PCM at 24 kHz. */
const PIECE_MS = 20;
const PIECE_BYTES = (24_000 * 2 * PIECE_MS) / 1000;
/** Below -40 dBFS nobody speaks. */
const SOUND_LEVEL = 328;
/** A quick speaker's; used until the model has finished its first item, which shows its own pace. */
const SOUND_MS_PER_CHARACTER = 55;
/**
 * Words differ in length, so the last one or two are a guess. With so much sound left out no word
 * that had not begun was believed heard in bench/realtime-heard.ts; with half of it a few were.
 * Chosen on that program's own four replies.
 */
const UNSURE_MS = 120;
/** Items whose end has not been heard yet; more is a fault of the service. */
const LIMIT_ITEMS = 100;

/**
 * What the model has said and which words of it the caller has heard. The service sends audio
 * faster than it plays and words ahead of their audio, and never says which word is where: a word
 * counts when the sound heard so far, pauses left out, makes up for everything to its end.
 */
export class SpokenItems {
  readonly #media: MediaStream;
  #items: Item[] = [];
  readonly #cut = new Set<string>();
  #pace = SOUND_MS_PER_CHARACTER;

  constructor(media: MediaStream) {
    this.#media = media;
  }

  /** Words of an item, as the service tells them. */
  tell(id: string, words: string): void {
    const item = this.#find(id);
    if (item === undefined) return;
    item.text += words;
    item.told.push({ until: item.text.length, audioMs: item.endMs - item.startMs });
  }

  /** Audio of an item, which goes to the caller; what was on its way when the item was cut does not. */
  play(id: string, samples: Uint8Array): void {
    const item = this.#find(id);
    if (item === undefined) return;
    this.#media.write(samples);
    item.endMs = this.#media.writtenMs;
    measure(item, samples);
  }

  /** Nothing more comes of any item so far. */
  complete(): void {
    for (const item of this.#items) {
      if (item.complete) continue;
      item.complete = true;
      const soundMs = item.soundMs.at(-1) ?? 0;
      if (soundMs > 0 && item.text.length > 0) this.#pace = soundMs / item.text.length;
    }
  }

  /** The texts that have been heard to their end since the last time. */
  takeHeard(): string[] {
    const heard = (item: Item) => item.complete && this.#media.playedMs >= item.endMs;
    const first = this.#items.findIndex((item) => !heard(item));
    return this.#items
      .splice(0, first < 0 ? this.#items.length : first)
      .map(({ text }) => text.trim())
      .filter((text) => text !== "");
  }

  /** Silences the line. Returns what was being said or waited to be, and how much of it was heard. */
  cut(): CutItem[] {
    const playedMs = this.#media.stop();
    const items = this.#items.splice(0);
    for (const { id } of items) this.#cut.add(id);
    return items.map((item) => {
      const audibleMs = Math.max(0, Math.min(playedMs, item.endMs) - item.startMs);
      return { id: item.id, heardMs: Math.floor(audibleMs), text: this.#heardOf(item, audibleMs) };
    });
  }

  #find(id: string): Item | undefined {
    if (this.#cut.has(id)) return undefined;
    const known = this.#items.find((item) => item.id === id);
    if (known !== undefined) return known;
    if (this.#items.length >= LIMIT_ITEMS) throw new RangeError(`${LIMIT_ITEMS} items are unheard`);
    const startMs = this.#media.writtenMs;
    const item: Item = {
      id,
      startMs,
      endMs: startMs,
      text: "",
      told: [],
      soundMs: [],
      carry: Buffer.alloc(0),
      complete: false,
    };
    this.#items.push(item);
    return item;
  }

  #heardOf({ text, told, soundMs, complete }: Item, audibleMs: number): string {
    const received = soundMs.at(-1) ?? 0;
    const total = complete ? received : Math.max(received, text.length * this.#pace);
    const played = soundMs[Math.floor(audibleMs / PIECE_MS) - 1] ?? 0;
    const heard = Math.max(0, played - UNSURE_MS);
    // A word that was told when more than this had been received begins later still.
    const later = told.find(({ audioMs }) => audioMs >= audibleMs);
    const limit = later === undefined ? text.length : (told[told.indexOf(later) - 1]?.until ?? 0);
    return wholeWords(
      text,
      Math.min(limit, Math.floor((text.length * heard) / Math.max(1, total))),
    );
  }
}

function measure(item: Item, samples: Uint8Array): void {
  const joined = Buffer.concat([item.carry, samples]);
  let offset = 0;
  for (; offset + PIECE_BYTES <= joined.length; offset += PIECE_BYTES) {
    const before = item.soundMs.at(-1) ?? 0;
    const sounds = levelOf(joined.subarray(offset, offset + PIECE_BYTES)) > SOUND_LEVEL;
    item.soundMs.push(before + (sounds ? PIECE_MS : 0));
  }
  item.carry = Buffer.from(joined.subarray(offset));
}

function levelOf(piece: Buffer): number {
  let sum = 0;
  for (let offset = 0; offset < piece.length; offset += 2) sum += piece.readInt16LE(offset) ** 2;
  return Math.sqrt(sum / (piece.length / 2));
}

/** The words that end within so many characters. */
function wholeWords(text: string, characters: number): string {
  if (characters >= text.trimEnd().length) return text.trim();
  const next = text[characters] ?? " ";
  const cut = text.slice(0, characters);
  const end = /\s/.test(next) ? cut.length : Math.max(0, cut.search(/\s\S*$/));
  return cut.slice(0, end).trim();
}
