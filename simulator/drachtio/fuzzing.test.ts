import { expect, test } from "vitest";
import { fuzzDaemon } from "./fuzzing.ts";

test("the daemon survives broken frames, streams and datagrams", async () => {
  const report = await fuzzDaemon({ seed: 1, rounds: 40 });
  expect(report.frames + report.datagrams + report.streams).toBe(2_000);
});
