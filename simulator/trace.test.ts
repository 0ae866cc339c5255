import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { manualClock } from "./clock.ts";
import { openTrace, type TraceEvent } from "./trace.ts";

const isDtmf = (event: TraceEvent) => event.type === "dtmf";

test("an event carries version, time and party", async () => {
  const clock = manualClock();
  await using trace = openTrace({ clock });
  await clock.advance(40);
  trace.as("ivr").record({ type: "dtmf", direction: "in", digit: "2" }, "call-1");
  expect(trace.events).toEqual([
    { v: 1, at: 40, party: "ivr", call: "call-1", type: "dtmf", direction: "in", digit: "2" },
  ]);
});

test("secrets are masked on the way in", async () => {
  await using trace = openTrace({ clock: manualClock() });
  const secrets = [
    "Authorization: Bearer abcdef0123456789",
    "endpoint=https://x/;accesskey=c2VjcmV0",
    "wss://h/p?Ocp-Apim-Subscription-Key=topsecret&X=1",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^31",
    "my card is 4111 1111 1111 1111",
  ];
  trace.record("acs", { type: "error", code: "X", message: secrets.join("\n") });
  const text = JSON.stringify(trace.events);
  for (const secret of ["abcdef0123", "c2VjcmV0", "topsecret", "WVNfX19z", "4111 1111 1111"]) {
    expect(text).not.toContain(secret);
  }
  expect(text).toContain("X=1");
});

test("waiting finds an event of the past and one to come", async () => {
  const clock = manualClock();
  await using trace = openTrace({ clock });
  trace.record("ivr", { type: "dtmf", direction: "in", digit: "1" });
  await trace.waitFor(isDtmf, { timeoutMs: 1, what: "a digit" });
  const second = trace.waitFor(isDtmf, { timeoutMs: 1000, what: "a digit", from: 1 });
  trace.record("ivr", { type: "dtmf", direction: "in", digit: "2" });
  expect(await second).toMatchObject({ digit: "2" });
  expect(clock.pending).toBe(0);
});

test("a wait that fails says what it waited for and how long", async () => {
  const clock = manualClock();
  await using trace = openTrace({ clock });
  const wait = trace
    .waitFor(isDtmf, { timeoutMs: 500, what: "digit at the IVR" })
    .catch((error: Error) => error.message);
  await clock.advance(500);
  expect(await wait).toBe("no digit at the IVR within 500 ms");
});

test("the file has one event per line", async () => {
  const folder = mkdtempSync(join(tmpdir(), "linecheck-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "trace.jsonl");
  const trace = openTrace({ clock: manualClock(), file });
  trace.record("ivr", { type: "dtmf", direction: "in", digit: "1" });
  trace.record("ivr", { type: "dtmf", direction: "in", digit: "2" });
  await trace[Symbol.asyncDispose]();
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line).digit)).toEqual(["1", "2"]);
});

test("what is recorded after the end is not written, and closing twice is fine", async () => {
  const folder = mkdtempSync(join(tmpdir(), "linecheck-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "trace.jsonl");
  const trace = openTrace({ clock: manualClock(), file });
  const closing = trace[Symbol.asyncDispose]();
  trace.record("ivr", { type: "dtmf", direction: "in", digit: "1" });
  await closing;
  trace.record("ivr", { type: "dtmf", direction: "in", digit: "2" });
  await trace[Symbol.asyncDispose]();
  expect(readFileSync(file, "utf8")).toBe("");
});

test("a file that cannot be written is told when the trace is closed", async () => {
  const trace = openTrace({ clock: manualClock(), file: "/dev/null/trace.jsonl" });
  trace.record("ivr", { type: "dtmf", direction: "in", digit: "1" });
  await expect(trace[Symbol.asyncDispose]()).rejects.toThrow("ENOTDIR");
});
