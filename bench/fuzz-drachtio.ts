/**
 * Throws broken control frames, streams and datagrams at a whole embedded daemon:
 * `node bench/fuzz-drachtio.ts [--seed 1] [--rounds 1000]`, 50 inputs a round. After each round the
 * daemon has to answer a ping and a BYE. Ends with what was thrown, and with the memory in use.
 */
import { parseArgs } from "node:util";
import { fuzzDaemon } from "../simulator/drachtio/fuzzing.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    rounds: { type: "string", default: "1000" },
  },
});

const startedAt = performance.now();
const report = await fuzzDaemon({ seed: Number(values.seed), rounds: Number(values.rounds) });
const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
const { heapUsed } = process.memoryUsage();
console.log(
  `seed ${values.seed}: ${report.frames} frames, ${report.streams} streams, ${report.datagrams}` +
    ` datagrams in ${seconds} s; heap ${(heapUsed / 2 ** 20).toFixed(0)} MB`,
);
