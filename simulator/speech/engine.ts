import type { Clock } from "../clock.ts";
import { openCommand } from "./engine-command.ts";
import { EngineEar } from "./engine-ear.ts";
import { EngineError, type EngineLimits } from "./engine-link.ts";
import { openSocket } from "./engine-socket.ts";
import type { ListenOptions, SpeechEngine } from "./recogniser.ts";

const DEFAULT_LIMITS: EngineLimits = {
  connectMs: 5000,
  probeMs: 30_000,
  stallMs: 10_000,
  finishMs: 10_000,
  killMs: 1000,
  pendingMs: 60_000,
  streams: 100,
};

export interface EngineOptions {
  readonly clock: Clock;
  /** `ws://…` or `wss://…`; anything else is a command for the shell. */
  readonly address: string;
  /** What the engine wants. Default 16,000. */
  readonly rateHz?: number;
  readonly limits?: Partial<EngineLimits>;
}

const RATE_HZ = 16_000;
const SILENCE_MS = 600;

/**
 * A real recogniser as a command or a WebSocket, with one process or connection for each stream of
 * audio. It is tried without audio first: rejects with {@link EngineError} `ENGINE_UNAVAILABLE` if
 * that does not end well.
 */
export async function startEngine(options: EngineOptions): Promise<SpeechEngine & AsyncDisposable> {
  const { clock, address, rateHz = RATE_HZ } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const open = /^wss?:/.test(address) ? openSocket : openCommand;
  const ears = new Set<EngineEar>();

  const listen = (listening: ListenOptions): EngineEar => {
    if (ears.size >= limits.streams) {
      throw new EngineError("ENGINE_BUSY", `${limits.streams} streams are recognised already`);
    }
    const { languages = [], phrases = [], segmentationSilenceMs = SILENCE_MS } = listening;
    const turn = { rateHz, languages, phrases, segmentationSilenceMs };
    const ear = new EngineEar({
      clock,
      limits,
      rateHz,
      listening,
      open: (listener) => open({ address, turn, clock, limits }, listener),
      onClosed: () => ears.delete(ear),
    });
    ears.add(ear);
    return ear;
  };

  await using silence = listen({ onEvent: () => {} });
  await silence.finish(limits.probeMs).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new EngineError("ENGINE_UNAVAILABLE", `the recogniser does not work: ${reason}`, {
      cause: error,
    });
  });
  return {
    listen,
    async [Symbol.asyncDispose]() {
      await Promise.all(Array.from(ears, (ear) => ear[Symbol.asyncDispose]()));
    },
  };
}
