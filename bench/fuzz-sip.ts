import { fuzzTargets } from "../simulator/sip/fuzzing/targets.ts";
import { mutate, SeededRandom } from "../simulator/sip/fuzzing/mutation.ts";

/**
 * Feeds the SIP parsers with mutated inputs until one breaks a promise or the number is reached.
 * The same seed gives the same inputs. A breach is printed with the input and the exit code is 1.
 *
 *   node bench/fuzz-sip.ts [executionsPerTarget=100000] [seed=1] [target]
 */
const [executions = 100_000, seed = 1] = process.argv.slice(2, 4).map(Number);
const only = process.argv[4];

for (const { name, corpus, run } of fuzzTargets()) {
  if (only !== undefined && only !== name) continue;
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
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  const rate = Math.round(executions / seconds).toLocaleString("en");
  console.log(`${name}: ${executions.toLocaleString("en")} executions, ${rate}/s, no breach`);
}
