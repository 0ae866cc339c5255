import { describe, expect, test } from "vitest";
import { systemClock } from "../../clock.ts";
import { mutate, SeededRandom } from "./mutation.ts";
import { fuzzTargets } from "./targets.ts";

const SEED = 20_260_102;
const EXECUTIONS = 2000;

/** The first input that breaks a promise, and which one. */
function firstBreach(run: (input: Buffer) => void, inputs: Iterable<Buffer>): string | undefined {
  for (const input of inputs) {
    try {
      run(input);
    } catch (error) {
      return `${String(error)}: ${JSON.stringify(input.toString("latin1"))}`;
    }
  }
  return undefined;
}

function* mutations(corpus: readonly Buffer[]): Generator<Buffer> {
  const random = new SeededRandom(SEED);
  for (let execution = 0; execution < EXECUTIONS; execution++) yield mutate(random, corpus);
}

describe.each(fuzzTargets())("the parser of $name", ({ corpus, run }) => {
  test("keeps its promises for the whole corpus", () => {
    expect(corpus.length).toBeGreaterThan(3);
    expect(firstBreach(run, corpus)).toBeUndefined();
  });

  test(`keeps its promises for ${EXECUTIONS} mutations`, () => {
    expect(firstBreach(run, mutations(corpus))).toBeUndefined();
  });
});

/** A parser in quadratic time takes many seconds for these, a linear one a few milliseconds. */
const PATIENCE_MS = 2000;

/** Where a regular expression with two ways to match a blank would need quadratic time. */
const blanks = " ".repeat(60_000);
const message = (line: string) => `OPTIONS sip:a@b SIP/2.0\r\n${line}\r\nCall-ID: 1\r\n\r\n`;
test.each([
  ["start-line", `OPTIONS${blanks}x`],
  ["start-line", `OPTIONS sip:a@b${blanks}SIP/2.x`],
  ["message", message(`Subject: a${blanks}b\r\n c`)],
  ["message", message(`Subject: a\r\n${blanks}b\r\n c`)],
  ["stream", message(`Content-Length: 1${blanks}x`)],
  ["stream", message(`Content-Length:${blanks}\r\n${blanks}x`)],
  ["via", `SIP/2.0/UDP a${blanks}b`],
  ["via", `SIP/2.0/UDP a${blanks}:${blanks}5060;x`],
  ["via", `SIP/2.0/UDP a;${blanks}=${blanks};b`],
  ["name-addr", `a${blanks}"b" <sip:a@b>`],
  ["name-addr", `"${"\\".repeat(60_000)}`],
  ["name-addr", `<sip:a@b>${";".repeat(60_000)}`],
  ["name-addr", `<sip:a@b>${",".repeat(60_000)}`],
  ["uri", `sip:${"%41".repeat(20_000)}%4@b`],
  ["uri", `sip:a@${"-".repeat(60_000)}`],
  ["uri", `sip:a@${"a-".repeat(30_000)}`],
  ["uri", `sip:a@b${";a=b".repeat(15_000)};=`],
  ["cseq", `1${blanks}x${blanks}y`],
])("the parser of %s is not slowed down by a hostile input (%#)", (name, input) => {
  const clock = systemClock();
  const target = fuzzTargets().find((candidate) => candidate.name === name);
  const startedAt = clock.now();
  target?.run(Buffer.from(input));
  expect(clock.now() - startedAt).toBeLessThan(PATIENCE_MS);
});

test("the same seed gives the same inputs", () => {
  const corpus = [Buffer.from("sip:alice@example.com"), Buffer.from("tel:+1800")];
  const inputs = (seed: number) => {
    const random = new SeededRandom(seed);
    return Array.from({ length: 50 }, () => mutate(random, corpus).toString("latin1"));
  };
  expect(inputs(1)).toEqual(inputs(1));
  expect(inputs(1)).not.toEqual(inputs(2));
});
