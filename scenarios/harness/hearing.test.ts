import { expect, test } from "vitest";
import { manualClock } from "../../simulator/clock.ts";
import { openTrace } from "../../simulator/trace.ts";
import { Hearing } from "./hearing.ts";

function listen() {
  const clock = manualClock();
  const trace = openTrace({ clock });
  const over = new AbortController();
  const hearing = new Hearing({ trace, party: "phone", call: "c1", ended: over.signal });
  const hears = (text: string, kind: "phrase" | "hypothesis" | "noMatch" = "phrase", call = "c1") =>
    trace.as("phone").record({ type: "heard", kind, text, startMs: 0, endMs: 100 }, call);
  const until = (text: string, asTheyAreSpoken = false) =>
    hearing.until(text, { timeoutMs: 1000, signal: new AbortController().signal, asTheyAreSpoken });
  return { clock, hears, until, over, hearing };
}

test("words that were heard before the question count", async () => {
  const { hears, until } = listen();
  hears("For billing, press two.");
  expect((await until("press two")).text).toBe("For billing, press two.");
});

test("a sentence has to come again to be expected again", async () => {
  const { clock, hears, until } = listen();
  hears("Hello.");
  await until("hello");
  const again = until("hello").catch((error: Error) => error.message);
  await clock.advance(1000);
  expect(await again).toContain("not within 1000 ms");
});

test("words may span two phrases", async () => {
  const { hears, until } = listen();
  hears("Of course.");
  hears("I will find a manager.");
  expect((await until("course. I will find")).text).toBe("I will find a manager.");
});

test("what is heard in the same turn as the words does not take them back", async () => {
  const { hears, until } = listen();
  const wait = until("press two");
  hears("For billing, press two.");
  hears("For", "hypothesis");
  expect((await wait).text).toBe("For billing, press two.");
});

test("a hypothesis counts only for who listens to the words as they are spoken", async () => {
  const { clock, hears, until } = listen();
  hears("twenty four months and", "hypothesis");
  await until("twenty four months", true);
  const patient = until("twenty four months").catch((error: Error) => error.name);
  await clock.advance(1000);
  expect(await patient).toBe("NotHeard");
});

test("another call's words do not count", async () => {
  const { clock, hears, until } = listen();
  hears("Hello.", "phrase", "c2");
  const wait = until("hello").catch((error: Error) => error.name);
  await clock.advance(1000);
  expect(await wait).toBe("NotHeard");
});

test("the end of the call ends the wait and says how", async () => {
  const { hears, until, over, hearing } = listen();
  hears("", "noMatch");
  const wait = until("hello").catch((error: Error) => error.message);
  over.abort(new Error("ended by the remote side"));
  expect(await wait).toContain("ended by the remote side");
  expect(hearing.unexpected).toEqual([{ text: "", known: false, startMs: 0, endMs: 100 }]);
});

test("a line that is never quiet does not make the wait longer", async () => {
  const { clock, hears, until } = listen();
  const wait = until("hello").catch((error: Error) => error.message);
  for (const text of ["Are you still there?", "Are you?"]) {
    await clock.advance(500);
    hears(text);
  }
  await clock.advance(1);
  expect(await wait).toContain("not within 1000 ms");
  expect(clock.pending).toBe(0);
});

test("words that come while somebody waits end the wait", async () => {
  const { hears, until } = listen();
  const wait = until("press two");
  hears("For billing,", "hypothesis");
  hears("For billing, press two.");
  expect((await wait).text).toBe("For billing, press two.");
});
