/** One assertion of the suite: where it stands, what it says, whether it held. */
export interface Outcome {
  name: string;
  passed: boolean;
}

/** Reads tape's TAP: `# section` lines, then `ok 1 text` or `not ok 1 text`. */
export function readTap(text: string): Outcome[] {
  const outcomes: Outcome[] = [];
  let section = "";
  for (const line of text.split("\n")) {
    const [, failed, title] = /^(not )?ok \d+ (.*)$/.exec(line) ?? [];
    if (title !== undefined) {
      outcomes.push({ name: `${section}: ${title}`, passed: failed === undefined });
    } else if (/^# (?!tests |pass |fail |ok$)/.test(line)) {
      section = line.slice(2);
    }
  }
  return outcomes;
}

interface MochaReport {
  tests: { fullTitle: string; err: object }[];
}

/** Reads mocha's JSON report. */
export function readMocha(text: string): Outcome[] {
  const report = JSON.parse(text.slice(text.indexOf("{\n"))) as MochaReport;
  return report.tests.map(({ fullTitle, err }) => ({
    name: `mocha: ${fullTitle}`,
    passed: Object.keys(err).length === 0,
  }));
}

/**
 * What is wrong. Names count, and not only how many passed: two files of the suite turn failures
 * in the middle of a chain into passes and skip the rest.
 */
export function judge(outcomes: readonly Outcome[], expected: readonly string[]): string[] {
  const failed = outcomes.filter(({ passed }) => !passed).map(({ name }) => `failed: ${name}`);
  const left = [...expected];
  const unexpected: string[] = [];
  for (const { name } of outcomes) {
    const at = left.indexOf(name);
    if (at === -1) unexpected.push(`not expected: ${name}`);
    else left.splice(at, 1);
  }
  return [...failed, ...unexpected, ...left.map((name) => `missing: ${name}`)];
}
