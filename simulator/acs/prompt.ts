import type { Clock } from "../clock.ts";
import type { Audio } from "../media/frame.ts";
import { parseWav } from "../media/wav.ts";
import type { AudioBridge } from "./audio-bridge.ts";
import { settledBefore } from "./background.ts";
import type { Call } from "./call.ts";
import type { Core } from "./core.ts";
import { Fields } from "./fields.ts";
import { MediaFailure, mediaFailure } from "./media-failure.ts";
import { refusal } from "./service-error.ts";

/** One entry of `playSources`. */
export type PlaySource =
  | { readonly kind: "file"; readonly uri: string; readonly cacheId: string | undefined }
  | {
      readonly kind: "text" | "ssml";
      readonly text: string;
      readonly voice: string | undefined;
      readonly locale: string | undefined;
      readonly cacheId: string | undefined;
    };

const TEXT_LIMIT = 4000;
const FILE_LIMIT_BYTES = 32 * 1024 * 1024;
const FILE_RATE_HZ = 16_000;
const CACHED_PROMPTS = 100;

/** Reads play sources; text needs an AI services resource linked to the call (else 400/8567). */
export function readPlaySources(
  call: Call,
  values: readonly unknown[],
  name: string,
): PlaySource[] {
  return values.map((value) => {
    const source = readPlaySource(Fields.of(value, name), name);
    const needsSpeech = source.kind !== "file";
    if (needsSpeech && call.options.cognitiveServicesEndpoint === undefined) {
      throw refusal.speechNotLinked();
    }
    return source;
  });
}

function readPlaySource(fields: Fields, name: string): PlaySource {
  const kind = fields.choice("kind", ["file", "text", "ssml"]);
  const inner = kind === undefined ? undefined : fields.fields(kind);
  if (kind === undefined || inner === undefined) throw refusal.invalidField(name);
  const cacheId = fields.optionalText("playSourceCacheId");
  if (kind === "file") return { kind, uri: inner.text("uri"), cacheId };
  const text = inner.optionalText(kind === "text" ? "text" : "ssmlText") ?? "";
  if (text.length > TEXT_LIMIT) throw refusal.invalidField(name);
  const locale = inner.optionalText("sourceLocale");
  return { kind, text, voice: inner.optionalText("voiceName"), locale, cacheId };
}

/** Prompts by `playSourceCacheId`, for the life of the emulator. */
export class PromptCache {
  readonly #prompts = new Map<string, Promise<Audio>>();

  get(id: string, load: () => Promise<Audio>): Promise<Audio> {
    const known = this.#prompts.get(id);
    if (known !== undefined) return known;
    const loading = load();
    this.#prompts.set(id, loading);
    loading.catch(() => this.#prompts.delete(id));
    const [oldest] = this.#prompts.keys();
    if (this.#prompts.size > CACHED_PROMPTS && oldest !== undefined) this.#prompts.delete(oldest);
    return loading;
  }
}

/** Loads every source; the first that fails rejects with {@link MediaFailure} and its index. */
export async function loadPrompts(
  core: Core,
  sources: readonly PlaySource[],
  signal: AbortSignal,
): Promise<Audio[]> {
  const loading = sources.map(async (source, index) => {
    try {
      return await (source.cacheId === undefined
        ? loadPrompt(core, source, signal)
        : cached(core, source.cacheId, { source, signal }));
    } catch (error) {
      throw error instanceof MediaFailure ? new MediaFailure(error.result, index) : error;
    }
  });
  return Promise.all(loading);
}

/** The prompt is everybody's: who hangs up stops waiting for it, and nothing else. */
async function cached(
  core: Core,
  id: string,
  { source, signal }: { source: PlaySource; signal: AbortSignal },
): Promise<Audio> {
  const load = () => {
    const { promise, resolve, reject } = Promise.withResolvers<Audio>();
    core.background.run("prompt", (closing) =>
      loadPrompt(core, source, closing).then(resolve, reject),
    );
    return promise;
  };
  const audio = await settledBefore(core.prompts.get(id, load), signal);
  if (audio === undefined) throw signal.reason;
  return audio;
}

async function loadPrompt(core: Core, source: PlaySource, signal: AbortSignal): Promise<Audio> {
  if (source.kind === "file") return download(core, source.uri, signal);
  if (source.text.trim() === "") throw new MediaFailure(mediaFailure.empty());
  const { synthesise } = core.speech;
  const { kind, text, voice, locale } = source;
  try {
    if (synthesise === undefined) throw new Error("no speech synthesis in this lab");
    return await synthesise({ [kind]: text, voice, locale, signal });
  } catch (error) {
    signal.throwIfAborted();
    core.trace.record({ type: "error", code: "ACS_SYNTHESIS", message: String(error) });
    throw new MediaFailure(mediaFailure.speechService());
  }
}

async function download(core: Core, uri: string, signal: AbortSignal): Promise<Audio> {
  const bytes = await fetchFile(core, uri, signal);
  let audio: Audio;
  try {
    audio = parseWav(bytes, uri);
  } catch {
    throw new MediaFailure(mediaFailure.format()); // The service says no more than that.
  }
  if (audio.rateHz !== FILE_RATE_HZ) throw new MediaFailure(mediaFailure.format());
  return audio;
}

async function fetchFile(core: Core, uri: string, signal: AbortSignal): Promise<Buffer> {
  try {
    const limitBytes = FILE_LIMIT_BYTES;
    const options = { method: "GET", headers: {}, timeoutMs: 10_000, limitBytes, signal } as const;
    const answer = await core.outbound.post(uri, options);
    if (answer.status !== 200) throw new Error(`status ${answer.status}`);
    return answer.bytes;
  } catch (error) {
    signal.throwIfAborted();
    core.trace.record({ type: "error", code: "ACS_DOWNLOAD", message: `${uri}: ${String(error)}` });
    throw new MediaFailure(mediaFailure.download());
  }
}

export interface Playback {
  readonly clock: Clock;
  readonly bridge: AudioBridge;
  /** Raw ids of those who hear it; undefined: everybody. */
  readonly targets: readonly string[] | undefined;
  readonly prompts: readonly Audio[];
  readonly isLoop: boolean;
  readonly signal: AbortSignal;
}

/** Plays prompts into a call; resolves when the last was heard, rejects when aborted. */
export async function playPrompts(playback: Playback): Promise<void> {
  const { clock, bridge, targets, prompts, isLoop, signal } = playback;
  using source = bridge.open(targets);
  try {
    for (;;) {
      for (const { samples, rateHz } of prompts) source.write(samples, rateHz);
      await clock.sleep(Math.max(source.queuedMs, MIN_ROUND_MS), { signal });
      if (!isLoop) return;
    }
  } catch (error) {
    source.flush();
    throw error;
  }
}

/** So that a loop of empty prompts gives way to the rest of the world. */
const MIN_ROUND_MS = 20;
