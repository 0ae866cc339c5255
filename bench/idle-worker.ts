/** A thread that only looks how late it is woken, every 5 ms: what other work costs on a machine. */
import { parentPort } from "node:worker_threads";

const PERIOD_MS = 5;
const late: number[] = [];
let due = performance.now() + PERIOD_MS;

setInterval(() => {
  late.push(Math.max(0, performance.now() - due));
  due = performance.now() + PERIOD_MS;
}, PERIOD_MS);
// Each message asks for what was seen since the last one.
parentPort?.on("message", () => parentPort?.postMessage(late.splice(0), []));
