import { afterAll, beforeAll } from "vitest";

/**
 * Fails a test file that leaves sockets, servers, timers or processes behind. Loaded before every
 * test file (`setupFiles`), so its `afterAll` runs last.
 */
const WATCHED = new Set([
  "ProcessWrap",
  "TCPServerWrap",
  "TCPSocketWrap",
  "TLSWrap",
  "Timeout",
  "UDPWrap",
  "Worker",
]);

/** Closing a socket takes a few turns of the event loop; SIP's own timers are not this long. */
const GRACE_MS = 3000;

function census(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (WATCHED.has(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

function leftOver(before: ReadonlyMap<string, number>): string[] {
  return [...census()]
    .filter(([kind, amount]) => amount > (before.get(kind) ?? 0))
    .map(([kind, amount]) => `${amount - (before.get(kind) ?? 0)} ${kind}`);
}

let before = new Map<string, number>();

beforeAll(() => {
  before = census();
  // The runner's own timer of this hook is gone by the end; a timer of the file's must not hide behind it.
  before.delete("Timeout");
});

afterAll(async () => {
  const deadlineMs = performance.now() + GRACE_MS;
  while (leftOver(before).length > 0) {
    if (performance.now() > deadlineMs) {
      throw new Error(
        `this file is leaking: ${leftOver(before).join(", ")} still open ${GRACE_MS} ms after its last test`,
      );
    }
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
});
