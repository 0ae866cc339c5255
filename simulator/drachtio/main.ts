import { systemClock } from "../clock.ts";
import { silentTrace } from "../trace.ts";
import { startDrachtioDaemon } from "./daemon.ts";
import { parseFlags, tableOf } from "./flags.ts";

// The daemon as a process of its own, in place of drachtio-server: same flags, see flags.ts.
const { hosts, ...flags } = parseFlags(process.argv.slice(2));
const daemon = await startDrachtioDaemon({
  clock: systemClock(),
  trace: silentTrace,
  ...flags,
  resolve: tableOf(hosts),
});

const spoken = daemon.contacts.map(({ transport, hostPort }) => `${transport}/${hostPort}`);
process.stdout.write(
  `ready control=${daemon.control.host}:${daemon.control.port} sip=${spoken.join(",")}\n`,
);

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => void daemon[Symbol.asyncDispose]().then(() => process.exit(0)));
}
