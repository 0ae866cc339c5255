import { mutate, SeededRandom } from "../simulator/sip/fuzzing/mutation.ts";
import { fuzzTargets } from "../simulator/sip/fuzzing/targets.ts";
import { fuzzStack } from "../simulator/sip/fuzzing/traffic.ts";

/**
 * Feeds the SIP parsers with mutated inputs until one breaks a promise or the number is reached,
 * then a whole stack with random traffic. The same seed gives the same inputs. A breach is printed
 * with its input and the exit code is 1.
 *
 *   node bench/fuzz-sip.ts [executionsPerParser=100000] [stackMessages=20000] [seed=1]
 *   node bench/fuzz-sip.ts 1250000 250000      the acceptance run: 10 million, and over 200,000
 */
const [executions = 100_000, messages = 20_000, seed = 1] = process.argv.slice(2).map(Number);
const number = (value: number) => Math.round(value).toLocaleString("en");

/** Most inputs are refused with an error; nobody reads its stack. */
Error.stackTraceLimit = 0;

let total = 0;
for (const { name, corpus, run } of fuzzTargets()) {
  const random = new SeededRandom(seed);
  const startedAt = process.hrtime.bigint();
  for (let execution = 0; execution < executions; execution++) {
    const input = mutate(random, corpus);
    try {
      run(input);
    } catch (error) {
      console.error(`${name}, seed ${seed}, execution ${execution}: ${String(error)}`);
      console.error(JSON.stringify(input.toString("latin1")));
      process.exit(1);
    }
  }
  total += executions;
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  console.log(`${name}: ${number(executions)} executions, ${number(executions / seconds)}/s, ok`);
}

console.log(`parsers: ${number(total)} executions in all`);

const report = await fuzzStack({ seed, messages });
const megabytes = process.memoryUsage.rss() / 1e6;
console.log(`stack: ${JSON.stringify(report)}, ${number(megabytes)} MB resident`);
process.exitCode = report.left === 0 ? 0 : 1;
