import { describe, expect, test } from "vitest";
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

test("the same seed gives the same inputs", () => {
  const corpus = [Buffer.from("sip:alice@example.com"), Buffer.from("tel:+1800")];
  const inputs = (seed: number) => {
    const random = new SeededRandom(seed);
    return Array.from({ length: 50 }, () => mutate(random, corpus).toString("latin1"));
  };
  expect(inputs(1)).toEqual(inputs(1));
  expect(inputs(1)).not.toEqual(inputs(2));
});
