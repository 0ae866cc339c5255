import { expect, test } from "vitest";
import { createLogger, describeError } from "./telemetry.ts";

/** What is logged for `fields`. */
function logged(fields: object): Record<string, unknown> {
  const lines: string[] = [];
  const logger = createLogger({ logLevel: "warn" }, { write: (line) => void lines.push(line) });
  logger.warn(fields, "something happened");
  return JSON.parse(lines[0] ?? "") as Record<string, unknown>;
}

const broken = Object.assign(new TypeError("no audio for +14255550100"), { code: "STALLED" });

test.each([
  { how: "as it is", err: broken },
  { how: "described", err: describeError(broken) },
])("an error given $how is logged with its class, code and place, without numbers", ({ err }) => {
  expect(logged({ err })["err"]).toEqual({
    type: "TypeError",
    code: "STALLED",
    message: "no audio for •••",
    at: expect.stringContaining("telemetry.test.ts"),
  });
});

test("of what is no error only its type is logged", () => {
  expect(logged({ err: { name: "Dana", key: "secret" } })["err"]).toEqual({ type: "object" });
});
