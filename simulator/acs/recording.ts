import { sum, type TickPart } from "./audio-bridge.ts";
import { BRIDGE_RATE_HZ } from "./bridge-source.ts";
import type { Conversation } from "./conversation.ts";

/** Prompts and other audio that belongs to no participant are kept under this name. */
const NOBODY = "";
const FRAME_SAMPLES = BRIDGE_RATE_HZ / 50;
/** Channels of an unmixed recording (Microsoft: "Unmixed audio recording", at most five). */
const CHANNEL_LIMIT = 5;
const HEADER_BYTES = 44;

export interface RecorderOptions {
  readonly conversation: Conversation;
  readonly isUnmixed: boolean;
  /** Raw ids in the order of their channels; others take what is free as they speak. */
  readonly channelOrder: readonly (string | undefined)[];
  readonly isPaused: boolean;
  /** What is longer is cut. */
  readonly limitMs: number;
}

interface Channel {
  /** Undefined while nobody has taken it. */
  rawId: string | undefined;
  readonly frames: Int16Array[];
}

/** Keeps a conversation's audio, 20 ms at a time, with pauses left out. */
export class Recorder implements Disposable {
  readonly #options: RecorderOptions;
  readonly #channels: Channel[];
  readonly #stop: () => void;
  #frames = 0;
  isPaused: boolean;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.isPaused = options.isPaused;
    const order = options.isUnmixed ? options.channelOrder : [NOBODY];
    this.#channels = order.map((rawId) => ({ rawId, frames: [] }));
    this.#stop = options.conversation.bridge.onTick((parts) => this.#keep(parts));
  }

  get durationMs(): number {
    return this.#frames * 20;
  }

  /** The recording as a WAV file; mono, or one channel per participant. */
  toWav(): Buffer {
    const channels = this.#channels.map(({ frames }) => frames).slice(0, CHANNEL_LIMIT);
    return formatWav(channels.length === 0 ? [[]] : channels, this.#frames * FRAME_SAMPLES);
  }

  [Symbol.dispose](): void {
    this.#stop();
  }

  #keep(parts: readonly TickPart[]): void {
    if (this.isPaused || this.durationMs >= this.#options.limitMs) return;
    if (this.#options.isUnmixed) {
      for (const { rawId = NOBODY, samples } of parts) this.#append(rawId, samples);
    } else this.#append(NOBODY, sum(parts.map(({ samples }) => samples)));
    this.#frames++;
  }

  /** Puts a frame at its place; who was silent before gets silence up to it. */
  #append(rawId: string, samples: Int16Array): void {
    const { frames } = this.#channelOf(rawId);
    while (frames.length < this.#frames) frames.push(SILENCE);
    frames[this.#frames] = samples;
  }

  #channelOf(rawId: string): Channel {
    const own = this.#channels.find((channel) => channel.rawId === rawId);
    if (own !== undefined) return own;
    const free = this.#channels.find((channel) => channel.rawId === undefined);
    const taken = free ?? { rawId, frames: [] };
    if (free === undefined) this.#channels.push(taken);
    taken.rawId = rawId;
    return taken;
  }
}

const SILENCE = new Int16Array(FRAME_SAMPLES);

/** RIFF/WAVE, 16-bit PCM, any number of channels. */
function formatWav(channels: readonly (readonly Int16Array[])[], sampleCount: number): Buffer {
  const frameBytes = channels.length * 2;
  const wav = Buffer.alloc(HEADER_BYTES + sampleCount * frameBytes);
  wav.write("RIFF", 0);
  wav.writeUInt32LE(wav.length - 8, 4);
  wav.write("WAVEfmt ", 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(channels.length, 22);
  wav.writeUInt32LE(BRIDGE_RATE_HZ, 24);
  wav.writeUInt32LE(BRIDGE_RATE_HZ * frameBytes, 28);
  wav.writeUInt16LE(frameBytes, 32);
  wav.writeUInt16LE(16, 34);
  wav.write("data", 36);
  wav.writeUInt32LE(sampleCount * frameBytes, 40);
  channels.forEach((frames, channel) => {
    frames.forEach((samples, frame) => {
      samples.forEach((sample, index) => {
        const at = (frame * FRAME_SAMPLES + index) * frameBytes + channel * 2;
        if (index < FRAME_SAMPLES) wav.writeInt16LE(sample, HEADER_BYTES + at);
      });
    });
  });
  return wav;
}
