import type { Audio } from "../../media/frame.ts";
import { toWavBuffer } from "../../media/wav.ts";
import type { Ear, EarEvent, ListenOptions, SynthesisRequest } from "../speech.ts";

/** `durationMs` of a constant level, as the service wants files: 16 kHz mono. */
function level(value: number, durationMs: number, rateHz = 16_000): Audio {
  return { samples: new Int16Array((rateHz * durationMs) / 1000).fill(value), rateHz };
}

export function wav(value: number, durationMs: number, rateHz = 16_000): Buffer {
  return toWavBuffer(level(value, durationMs, rateHz));
}

/** An AI services resource that remembers what it was asked and says what it is told. */
export class FakeSpeech {
  readonly requests: SynthesisRequest[] = [];
  readonly listeners: ListenOptions[] = [];
  acceptedSamples = 0;

  readonly synthesise = async (request: SynthesisRequest): Promise<Audio> => {
    this.requests.push(request);
    return level(3, 40);
  };

  readonly recognise = (options: ListenOptions): Ear => {
    this.listeners.push(options);
    return {
      accept: (samples) => void (this.acceptedSamples += samples.length),
      [Symbol.asyncDispose]: async () => {},
    };
  };

  /** The newest ear hears something. */
  hear(type: EarEvent["type"], text: string, detail: Partial<EarEvent> = {}): void {
    this.listeners.at(-1)?.onEvent({ type, text, startMs: 0, endMs: 500, ...detail });
  }
}
