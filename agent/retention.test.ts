import { expect, test, vi } from "vitest";
import { startRetention } from "./retention.ts";
import { Store } from "./store.ts";
import { createLogger } from "./telemetry.ts";

const DAY_MS = 86_400_000;

test("calls that grow too old while the agent runs are deleted within the hour", () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  using _timers = { [Symbol.dispose]: () => vi.useRealTimers() };
  using store = Store.open(":memory:");
  const start = new Date("2026-01-01T00:00:00Z");
  for (const [id, age] of [
    ["old", 91],
    ["young", 89],
  ] as const) {
    const at = new Date(start.getTime() - age * DAY_MS);
    store.startCall({ id, correlationId: id, callerNumber: "+14255550100", at });
    store.endCall(id, { outcome: "completed", at });
  }
  let now = start;
  const logger = createLogger({ logLevel: "silent" });
  const retention = startRetention({ store, days: 90, date: () => now, logger });
  expect(store.calls().map(({ id }) => id)).toEqual(["young"]);
  now = new Date(start.getTime() + 2 * DAY_MS);
  vi.advanceTimersByTime(3_600_000);
  expect(store.calls()).toEqual([]);
  retention[Symbol.dispose]();
  expect(vi.getTimerCount()).toBe(0);
});
