import { expect, onTestFinished, test } from "vitest";
import { manualClock } from "../clock.ts";
import type { Lab } from "../lab.ts";
import { openTrace } from "../trace.ts";
import { startControl } from "./control.ts";

/** A call on which nobody says anything; only its own end ends it. */
function quietCall(ended: AbortController) {
  return {
    id: "c1",
    ended: ended.signal,
    hangUp: async () => ended.abort(new Error("ended by the local side")),
  };
}

async function refuse(): Promise<never> {
  throw new Error("486 Busy Here");
}

/** A control port of a lab whose calls are these; by default nobody answers. */
async function open(call: () => Promise<unknown> = refuse) {
  const clock = manualClock();
  const trace = openTrace({ clock });
  // As much of a lab as the control port needs here.
  const control = await startControl({ clock, trace, call } as unknown as Lab);
  onTestFinished(() => control[Symbol.asyncDispose]());
  const { url, token } = control.address;
  const ask = (path: string, init: RequestInit = {}, word = token) =>
    fetch(url + path, { ...init, headers: { authorization: `Bearer ${word}` } });
  return { ask, trace, clock };
}

test("nobody is let in without the word", async () => {
  const { ask } = await open();
  expect((await ask("/trace", {}, "wrong")).status).toBe(401);
  expect((await ask("/trace")).status).toBe(200);
  expect((await ask("/elsewhere")).status).toBe(404);
});

test("the trace comes line by line", async () => {
  const { ask, trace } = await open();
  trace.record("ivr", { type: "dtmf", direction: "in", digit: "1" });
  trace.record("ivr", { type: "dtmf", direction: "in", digit: "2" });
  const lines = (await (await ask("/trace")).text()).trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line).digit)).toEqual(["1", "2"]);
});

test.each([
  [JSON.stringify({ number: "+1", from: "+2", say: [], lengthMs: 1 }), "486 Busy Here"],
  ["{", "JSON"],
  ["x".repeat(70_000), "order above 65536 bytes"],
])("a call that cannot be made says why", async (body, reason) => {
  const { ask } = await open();
  const response = await ask("/calls", { method: "POST", body });
  expect(JSON.parse(await response.text())).toMatchObject({
    kind: "failed",
    reason: expect.stringContaining(reason),
  });
});

test.each([
  [false, "time is up"],
  [true, "ended by the remote side"],
])("a call that ended says by whom (remote: %s)", async (byRemote, reason) => {
  const ended = new AbortController();
  const { ask, clock } = await open(async () => quietCall(ended));
  const order = JSON.stringify({ number: "+1", from: "+2", say: [], lengthMs: 4000 });
  const response = await ask("/calls", { method: "POST", body: order });
  if (byRemote) ended.abort(new Error("ended by the remote side"));
  await clock.advance(4000);
  const lines = (await response.text()).trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { kind: "connected", callId: "c1" },
    { kind: "ended", reason },
  ]);
});
