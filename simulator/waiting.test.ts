import { expect, test } from "vitest";
import { manualClock } from "./clock.ts";
import { Waiting } from "./waiting.ts";

const waiting = (clock = manualClock()) => new Waiting<string>({ clock, what: "call", limit: 2 });

test("items are served in order, each once, whoever comes first", async () => {
  const calls = waiting();
  calls.push("one");
  const first = calls.next();
  const second = calls.next();
  calls.push("two");

  expect(await Promise.all([first, second])).toEqual(["one", "two"]);
});

test("a wait that runs out says what it waited for, how long and what it saw", async () => {
  const clock = manualClock();
  const calls = waiting(clock);
  calls.push("early");
  await calls.next();

  const late = calls.next({ timeoutMs: 500 }).catch((error: unknown) => error);
  await clock.advance(500);

  expect(await late).toMatchObject({
    code: "WAIT_TIMEOUT",
    message: "no call within 500 ms (1 so far)",
  });
  expect(clock.pending).toBe(0);
});

test("an aborted wait rejects with the signal's reason and takes nothing", async () => {
  const calls = waiting();
  const abort = new AbortController();
  const aborted = calls.next({ signal: abort.signal });
  abort.abort(new Error("enough"));
  await expect(aborted).rejects.toThrow("enough");

  calls.push("one");

  expect(await calls.next()).toBe("one");
});

test("beyond the limit an item is not taken", () => {
  const calls = waiting();

  expect([calls.push("one"), calls.push("two"), calls.push("three")]).toEqual([true, true, false]);
});

test("where only the latest count, the oldest makes room", async () => {
  const options = { clock: manualClock(), what: "call", limit: 2, dropOldest: true };
  const calls = new Waiting<string>(options);

  expect([calls.push("one"), calls.push("two"), calls.push("three")]).toEqual([true, true, true]);
  expect([await calls.next(), await calls.next()]).toEqual(["two", "three"]);
});

test("an item that was taken back is not served", async () => {
  const calls = waiting();
  calls.push("one");
  calls.push("two");
  calls.remove("one");
  calls.remove("never there");

  expect(await calls.next()).toBe("two");
});

test("closing tells everyone who still waits", async () => {
  const calls = waiting();
  const wait = calls.next();
  calls.close();

  await expect(wait).rejects.toThrow("stopped waiting for a call");
});

test("an item that comes right after somebody gave up is kept for the next", async () => {
  const calls = waiting();
  const impatient = new AbortController();
  const first = calls.next({ signal: impatient.signal }).catch((error: Error) => error.message);
  impatient.abort(new Error("gone"));
  calls.push("a");
  expect(await first).toBe("gone");
  expect(await calls.next()).toBe("a");
});
