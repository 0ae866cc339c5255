import { globSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import { formatExchange, parseExchange } from "./exchange.ts";
import { playExchange } from "./testing/play-exchange.ts";

// The recordings are made with `vitest -u` from files that hold the inputs alone, and then read:
// what the daemon answered must be what drachtio-server answers, or listed in docs/fidelity.md.

const files = globSync("fixtures/sip/exchanges/*.txt").toSorted();

test("there are at least forty recorded exchanges", () => {
  expect(files.length).toBeGreaterThanOrEqual(40);
});

describe("an exchange is as recorded", { concurrent: true }, () => {
  test.for(files.map((file) => basename(file, ".txt")))("%s", async (name, context) => {
    const file = `fixtures/sip/exchanges/${name}.txt`;
    const played = await playExchange(parseExchange(readFileSync(file, "utf8")));
    const place = `../../fixtures/sip/exchanges/${name}.txt`;
    await context.expect(formatExchange(played)).toMatchFileSnapshot(place);
    expect(played.sections.some(({ channel }) => channel.endsWith("<"))).toBe(true);
  });
});
