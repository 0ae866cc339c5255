/**
 * Hostile input, seeded: `node --expose-gc bench/hostile.ts [--count 10000] [--seed 1]`.
 * Each kind of message is mutated so many times: REST requests to the ACS emulator, media messages
 * on its sockets, what applications answer to its posts (callbacks, IncomingCall, handshakes; as
 * raw bytes), and the events that come to the agent's doors. Every one has to be answered with a
 * status or a close code, or to be judged as what it is; nothing may crash, and the emulator may
 * report no internal error. The heap is looked at after each half: what the second half adds to it
 * would be a leak. Exit code 1 when something was answered with 5xx or an internal error occurred.
 */
import { parseArgs } from "node:util";
import { Mutator } from "../simulator/acs/testing/hostile.ts";
import {
  type Attack,
  attackAgent,
  attackAnswers,
  attackMedia,
  attackRest,
  INTERNAL,
} from "./hostile-attacks.ts";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "10000" },
    seed: { type: "string", default: "1" },
  },
});

function heapMebibytes(): string {
  globalThis.gc?.();
  return (process.memoryUsage().heapUsed / 2 ** 20).toFixed(1);
}

/** Sends everything, in halves; true when something went wrong. */
async function run(attack: Attack, count: number): Promise<boolean> {
  const heaps = [heapMebibytes()];
  const startMs = performance.now();
  for (const half of [Math.ceil(count / 2), Math.floor(count / 2)]) {
    await attack.send(half);
    heaps.push(heapMebibytes());
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  const { counts } = attack.tally;
  console.log(`${count} mutated ${attack.name}, seed ${values.seed}, ${seconds} s`);
  for (const [outcome, times] of Object.entries(counts)) console.log(`  ${outcome}: ${times}`);
  console.log(`  heap before, half way, after: ${heaps.join(", ")} MiB`);
  return Object.keys(counts).some(
    (outcome) => outcome === INTERNAL || /^5(?:xx|\d\d)$/.test(outcome),
  );
}

let isBroken = false;
for (const open of [attackRest, attackMedia, attackAnswers, attackAgent]) {
  await using attack = await open(new Mutator(Number(values.seed)));
  isBroken = (await run(attack, Number(values.count))) || isBroken;
}
process.exitCode = isBroken ? 1 : 0;
