import { expect, test } from "vitest";
import type { Party, TraceDetail, TraceEvent } from "../../simulator/trace.ts";
import { ScenarioFailure, toFailure, whyNotHeard, whyNotQuiet } from "./failure.ts";
import { NotHeard } from "./hearing.ts";

const event = (at: number, party: Party, detail: TraceDetail): TraceEvent => ({
  v: 1,
  at,
  party,
  ...detail,
});
const spoken = (text: string, levelDbfs: number) =>
  event(1000, "speech", { type: "spoken", text, levelDbfs });

test("words that nobody said are told apart from words that were lost", () => {
  expect(whyNotHeard("how can I help", [])).toContain("nobody said anything");
  expect(whyNotHeard("how can I help", [spoken("Hello Dana.", -14)])).toContain("“Hello Dana.”");
  expect(whyNotHeard("how can I help", [spoken("Hello. How can I help?", -14)])).toContain(
    "lost on the way",
  );
  expect(whyNotHeard("how can I help", [spoken("Hello. How can I help?", -120)])).toContain(
    "the synthesiser is the broken link",
  );
  expect(whyNotHeard("hello dana how can i", [spoken("Hello Dana. How can I?", -14)])).toContain(
    "lost on the way",
  );
});

test("a barge-in that is not followed by silence names who went on", () => {
  const bargeIn = { atMs: 1000, silentAfterMs: 1500 };
  const stop = event(1100, "acs", {
    type: "socket",
    service: "media",
    direction: "in",
    kind: "StopAudio",
  });
  const flush = event(1101, "acs", {
    type: "media",
    kind: "stopAudio",
    detail: { droppedMs: 900 },
  });
  expect(whyNotQuiet([], bargeIn)).toContain("the agent is the broken link");
  expect(whyNotQuiet([stop], bargeIn)).toContain(
    "100 ms after the caller began to speak, and ACS played on",
  );
  expect(whyNotQuiet([stop, flush], bargeIn)).toContain("dropped what was queued");
});

test("a failure says what was expected, what was heard, what the parties reported and where to look", () => {
  const error = new NotHeard("did not hear “goodbye”: nothing more", "goodbye", [
    { text: "Hello Dana.", known: true, startMs: 1000, endMs: 2500 },
    { text: "", known: false, startMs: 3000, endMs: 3400 },
  ]);
  const refused = event(5, "acs", {
    type: "http",
    direction: "in",
    service: "call-automation",
    method: "POST",
    target: "/calling/x:transferToParticipant",
    status: 400,
    response: { error: { code: "8523" } },
    durationMs: 1,
  });
  const failure = toFailure(error, {
    step: "customer hears “goodbye”",
    events: [refused],
    traceFile: "out/x/trace.jsonl",
  });
  expect(failure.message).toContain("expected  “goodbye”");
  expect(failure.message).toContain("“Hello Dana.” (1.0–2.5 s)");
  expect(failure.message).toContain("speech that matches nothing the lab knows (3.0–3.4 s)");
  expect(failure.message).toMatch(/acs: POST .*transferToParticipant → 400 .*8523/);
  expect(failure.message).toContain("trace  out/x/trace.jsonl");
});

test("a failure that is told already is not told again", () => {
  const told = new ScenarioFailure("told");
  expect(toFailure(told, { step: "later", events: [], traceFile: "x" })).toBe(told);
});
