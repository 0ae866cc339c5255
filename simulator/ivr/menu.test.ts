import { expect, test } from "vitest";
import { manualClock } from "../clock.ts";
import type { Audio } from "../media/frame.ts";
import { type MenuEvent, type MenuMedia, runMenu } from "./menu.ts";

const audio = (durationMs: number): Audio => ({
  samples: new Int16Array(durationMs * 8),
  rateHz: 8_000,
});
const prompts = { menu: audio(1_000), invalid: audio(300) };
const entries = {
  "1": { reason: "sales", destination: "+18005550101" },
  "2": { reason: "billing", destination: "+18005550100" },
};

/** A caller who hears every prompt for its whole length unless it is interrupted. */
function menu(attempts = 3) {
  const clock = manualClock();
  const heard: string[] = [];
  const listeners = new Set<(digit: string) => void>();
  const media: MenuMedia = {
    async play(piece, { signal } = {}) {
      const name = piece === prompts.menu ? "menu" : "invalid";
      const startedMs = clock.now();
      try {
        await clock.sleep(piece.samples.length / 8, { signal });
      } finally {
        heard.push(`${name} ${clock.now() - startedMs}`);
      }
      return { playedMs: piece.samples.length / 8 };
    },
    onDigit(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const events: MenuEvent[] = [];
  const caller = new AbortController();
  const choice = runMenu(
    media,
    { clock, entries, prompts, digitTimeoutMs: 2_000, attempts },
    { onEvent: (event) => events.push(event), signal: caller.signal },
  );
  const press = (digit: string) => listeners.forEach((listener) => listener(digit));
  return { clock, heard, events, choice, press, caller, listeners };
}

test("a key pressed during the prompt interrupts it and decides", async () => {
  const { clock, heard, events, choice, press, listeners } = menu();
  await clock.advance(400);
  press("2");
  await clock.advance(0);

  expect(await choice).toEqual({ digit: "2", reason: "billing", destination: "+18005550100" });
  expect(heard).toEqual(["menu 400"]);
  expect(events).toEqual([{ kind: "menu" }, { kind: "digit", digit: "2" }]);
  expect([clock.pending, listeners.size]).toEqual([0, 0]);
});

test("a key that leads nowhere is answered with a prompt and the menu again", async () => {
  const { clock, heard, events, choice, press } = menu();
  await clock.advance(1_500);
  press("9");
  await clock.advance(350);
  press("1");
  await clock.advance(0);

  expect(await choice).toMatchObject({ digit: "1", reason: "sales" });
  expect(heard).toEqual(["menu 1000", "invalid 300", "menu 50"]);
  expect(events.map(({ kind }) => kind)).toEqual(["menu", "digit", "invalid", "menu", "digit"]);
});

test("keys pressed ahead are taken in order", async () => {
  const { clock, choice, press } = menu();
  await clock.advance(10);
  press("*");
  press("2");
  await clock.advance(400);

  expect(await choice).toMatchObject({ digit: "2" });
});

test("without a key the menu is repeated until the attempts are used up", async () => {
  const { clock, heard, events, choice } = menu(2);
  await clock.advance(6_000);

  expect(await choice).toBeUndefined();
  expect(heard).toEqual(["menu 1000", "menu 1000"]);
  expect(events.map(({ kind }) => kind)).toEqual(["menu", "timeout", "menu", "timeout"]);
});

test("the menu ends at once when the caller hangs up", async () => {
  const { clock, choice, caller, listeners } = menu();
  await clock.advance(100);
  const ended = choice.catch((error: unknown) => error);
  caller.abort(new Error("hung up"));
  await clock.advance(0);

  expect(await ended).toEqual(new Error("hung up"));
  expect([clock.pending, listeners.size]).toEqual([0, 0]);
});

test("a key named like an object's property leads nowhere", async () => {
  const { clock, events, choice, press } = menu(1);
  await clock.advance(10);
  press("constructor");
  await clock.advance(1_000);

  expect(await choice).toBeUndefined();
  expect(events.at(-1)).toEqual({ kind: "invalid", digit: "constructor" });
});
