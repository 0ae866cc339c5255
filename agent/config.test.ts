import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ConfigError, readConfig } from "./config.ts";

const MINIMUM = {
  ACS_CONNECTION_STRING: "endpoint=https://contoso.communication.azure.com/;accesskey=c2VjcmV0",
  SPEECH_KEY: "speech key",
  SPEECH_REGION: "westeurope",
  AZURE_OPENAI_ENDPOINT: "https://contoso.openai.azure.com/",
  AZURE_OPENAI_KEY: "model key",
  AZURE_OPENAI_DEPLOYMENT: "gpt",
  AGENT_QUEUE_NUMBER: "+18005550150",
};

function faultsOf(env: Record<string, string | undefined>): string[] {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map(({ name, expected, got }) => `${name}: ${expected}, ${got}`);
  }
}

test("the minimum is enough, and the rest has defaults", () => {
  const config = readConfig(MINIMUM);
  expect(config.service).toMatchObject({ host: "127.0.0.1", port: 8080, publicUrl: undefined });
  expect(config.acs.callbackIssuer).toBe("https://acscallautomation.communication.azure.com");
  expect(config.media.rateHz).toBe(16_000);
  expect(config.escalation).toMatchObject({ summaryHeader: "X-AI-Summary", summaryLimit: 256 });
  expect(config.model.endpoint).toBe("https://contoso.openai.azure.com");
});

test("the configuration is frozen to its depth", () => {
  const config = readConfig(MINIMUM);
  expect(() => Object.assign(config.speech, { key: "other" })).toThrow(TypeError);
  expect(Object.isFrozen(config)).toBe(true);
});

test("every missing variable is named at once", () => {
  const faults = faultsOf({});
  expect(faults).toHaveLength(7);
  for (const name of Object.keys(MINIMUM)) {
    expect(faults).toContainEqual(expect.stringContaining(name));
  }
});

test.each([
  ["AGENT_PORT", "70000", "a whole number from 0 to 65535"],
  ["AGENT_PORT", "1e3", "a whole number"],
  ["AGENT_PUBLIC_URL", "agent.example", "a URL with http: or https:"],
  ["AGENT_QUEUE_NUMBER", "8005550150", "an E.164 number"],
  ["AGENT_FALLBACK_NUMBER", "+0", "an E.164 number"],
  ["AGENT_MEDIA_RATE_HZ", "8000", "16000 | 24000"],
  ["ACS_ALLOW_INSECURE_CONNECTION", "yes", "true | false"],
  ["SPEECH_LANGUAGE", "english", "a locale such as en-US"],
  ["AGENT_SUMMARY_HEADER", "AI-Summary", "a header name that starts with X-"],
  ["AGENT_SUMMARY_HEADER", "X-MS-Reserved", "a header name that starts with X-"],
  ["AGENT_SUMMARY_HEADER", "X-A\r\nB", "a header name that starts with X-"],
  ["LOG_LEVEL", "loud", "fatal | error"],
])("%s=%j is a fault", (name, value, expected) => {
  const faults = faultsOf({ ...MINIMUM, [name]: value });
  expect(faults).toHaveLength(1);
  expect(faults[0]).toContain(`${name}: ${expected}`);
});

test("speech wants a region or a host, not both and not neither", () => {
  expect(faultsOf({ ...MINIMUM, SPEECH_HOST: "http://127.0.0.1:1" })[0]).toContain("both");
  expect(faultsOf({ ...MINIMUM, SPEECH_REGION: "" })[0]).toContain("neither");
  expect(faultsOf({ ...MINIMUM, SPEECH_REGION: "", SPEECH_HOST: "http://127.0.0.1:1" })).toEqual(
    [],
  );
});

test("a fault never shows a secret", () => {
  const secret = "canary-secret";
  const faults = faultsOf({
    ...MINIMUM,
    ACS_CONNECTION_STRING: `endpoint=ftp://x;accesskey=${secret}`,
    EVENT_GRID_SECRET: "abc",
    AGENT_REDIS_URL: `redis//:${secret}@127.0.0.1`,
  });
  expect(faults).toHaveLength(3);
  expect(faults.join("\n")).not.toContain(secret);
  expect(faults.join("\n")).not.toContain("abc");
});

test("production refuses what only a laboratory may do", () => {
  const faults = faultsOf({
    ...MINIMUM,
    NODE_ENV: "production",
    ACS_ALLOW_INSECURE_CONNECTION: "true",
  });
  const names = faults.map((fault) => fault.split(":")[0]);
  expect(names).toEqual([
    "AGENT_DATABASE",
    "AGENT_PUBLIC_URL",
    "EVENT_GRID_SECRET",
    "ACS_CALLBACK_AUDIENCE",
    "ACS_ALLOW_INSECURE_CONNECTION",
  ]);
});

test("production takes neither audio nor keys without TLS", () => {
  const names = faultsOf({
    ...MINIMUM,
    NODE_ENV: "production",
    AGENT_MEDIA_URL: "http://agent-0.example",
    ACS_CALLBACK_JWKS_URL: "http://keys.example",
  }).map((fault) => fault.split(":")[0]);
  expect(names).toEqual(expect.arrayContaining(["AGENT_MEDIA_URL", "ACS_CALLBACK_JWKS_URL"]));
});

test("production shares by TLS only, and only with a media address of one's own", () => {
  const names = faultsOf({
    ...MINIMUM,
    NODE_ENV: "production",
    AGENT_REDIS_URL: "redis://127.0.0.1",
  }).map((fault) => fault.split(":")[0]);
  expect(names).toEqual(expect.arrayContaining(["AGENT_REDIS_URL", "AGENT_MEDIA_URL"]));
});

test("production accepts a complete configuration", () => {
  const config = readConfig({
    ...MINIMUM,
    NODE_ENV: "production",
    AGENT_DATABASE: "/var/lib/agent/calls.db",
    AGENT_PUBLIC_URL: "https://agent.example/",
    EVENT_GRID_SECRET: "long enough",
    ACS_CALLBACK_AUDIENCE: "7d0b4d9e-0000-4000-8000-000000000000",
    AGENT_REDIS_URL: "rediss://agent:secret@cache.example:6380",
    AGENT_MEDIA_URL: "https://agent-0.example",
  });
  expect(config.service.publicUrl).toBe("https://agent.example");
});

test("customers come from a JSON file", () => {
  const path = new URL("../fixtures/customers.json", import.meta.url).pathname;
  const { store } = readConfig({ ...MINIMUM, AGENT_CUSTOMERS: path });
  expect(store.customers[0]).toMatchObject({ id: "C-1042", name: "Dana Miller" });
});

test.each([
  ["no such file", undefined],
  ["no JSON", "customers"],
  ["no array of customers", '[{"id":"C-1"}]'],
])("a customer file that is %s is a fault", (_case, content) => {
  const path = join(mkdtempSync(join(tmpdir(), "agent-")), "customers.json");
  if (content !== undefined) writeFileSync(path, content);
  expect(faultsOf({ ...MINIMUM, AGENT_CUSTOMERS: path })[0]).toContain("AGENT_CUSTOMERS");
});

test("every variable is in the table of docs/agent.md", () => {
  const source = readFileSync(new URL("config.ts", import.meta.url), "utf8");
  const table = readFileSync(new URL("../docs/agent.md", import.meta.url), "utf8");
  const names = Array.from(
    source.matchAll(/read\s*\.\w+\(\s*"([A-Z][A-Z_]+)"/g),
    ([, name]) => name,
  );
  expect(names.length).toBeGreaterThan(40);
  expect(names.filter((name) => !table.includes(`\`${name}\``))).toEqual([]);
});

test("realtime mode wants its deployment and 24 kHz", () => {
  const faults = faultsOf({ ...MINIMUM, AGENT_MODE: "realtime" });
  expect(faults).toEqual([
    expect.stringContaining("AZURE_OPENAI_REALTIME_DEPLOYMENT"),
    expect.stringContaining("AGENT_MEDIA_RATE_HZ"),
  ]);
});
