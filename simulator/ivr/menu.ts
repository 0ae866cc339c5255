import type { Clock } from "../clock.ts";
import type { Audio } from "../media/frame.ts";
import { Waiting, WaitTimeout } from "../waiting.ts";

/** The part of a media session that the menu uses. */
export interface MenuMedia {
  play(audio: Audio, options?: { signal?: AbortSignal }): Promise<{ playedMs: number }>;
  onDigit(listener: (digit: string) => void): () => void;
}

/** Where one key leads: why the caller calls, and the number the call goes on to (E.164). */
export interface MenuEntry {
  reason: string;
  destination: string;
}

export interface MenuOptions {
  clock: Clock;
  entries: Readonly<Record<string, MenuEntry>>;
  prompts: { menu: Audio; invalid: Audio };
  /** Silence after the prompt before it is repeated. */
  digitTimeoutMs: number;
  /** How often the menu is played before the caller is given up. */
  attempts: number;
}

export type MenuEvent =
  | { kind: "menu" }
  | { kind: "digit"; digit: string }
  | { kind: "invalid"; digit: string }
  | { kind: "timeout" };

export interface MenuRun {
  onEvent: (event: MenuEvent) => void;
  /** The caller hung up. */
  signal: AbortSignal;
}

export type MenuChoice = MenuEntry & { digit: string };

/** Keys pressed ahead and not used yet; more are dropped. */
const MAX_TYPED_AHEAD = 16;

/**
 * Plays the menu and reads one key. A key interrupts the prompt; one that leads nowhere is answered
 * with the `invalid` prompt and the menu again. Undefined when the caller made no choice.
 */
export async function runMenu(
  media: MenuMedia,
  options: MenuOptions,
  { onEvent, signal }: MenuRun,
): Promise<MenuChoice | undefined> {
  const { clock, entries, prompts, digitTimeoutMs, attempts } = options;
  const keys = new Waiting<string>({ clock, what: "key", limit: MAX_TYPED_AHEAD });
  const stop = media.onDigit((digit) => void keys.push(digit));
  try {
    for (let attempt = 0; attempt < attempts; attempt++) {
      onEvent({ kind: "menu" });
      const digit = await readKey(media, { keys, prompt: prompts.menu, digitTimeoutMs, signal });
      onEvent(digit === undefined ? { kind: "timeout" } : { kind: "digit", digit });
      if (digit === undefined) continue;
      const entry = Object.hasOwn(entries, digit) ? entries[digit] : undefined;
      if (entry !== undefined) return { ...entry, digit };
      onEvent({ kind: "invalid", digit });
      await media.play(prompts.invalid, { signal });
    }
    return undefined;
  } finally {
    stop();
    keys.close();
  }
}

interface KeyOptions {
  keys: Waiting<string>;
  prompt: Audio;
  digitTimeoutMs: number;
  signal: AbortSignal;
}

async function readKey(media: MenuMedia, options: KeyOptions): Promise<string | undefined> {
  const { keys, prompt, digitTimeoutMs, signal } = options;
  const playing = new AbortController();
  const until = AbortSignal.any([signal, playing.signal]);
  const promptMs = (prompt.samples.length / prompt.rateHz) * 1_000;
  // An interrupted prompt is not an error.
  const played = media.play(prompt, { signal: until }).catch(() => {});
  try {
    return await keys.next({ signal, timeoutMs: promptMs + digitTimeoutMs });
  } catch (error) {
    if (error instanceof WaitTimeout) return undefined;
    throw error;
  } finally {
    playing.abort();
    await played;
  }
}
