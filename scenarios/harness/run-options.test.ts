import { expect, test } from "vitest";
import { readRunOptions } from "./run-options.ts";

test("without settings a scenario runs once, with the bundled agent and nothing broken", () => {
  expect(readRunOptions({})).toEqual({
    folder: "out",
    faults: [],
    agentEnvironment: {},
    agentUrl: undefined,
    services: undefined,
    drachtio: undefined,
    certificates: undefined,
    recogniser: undefined,
    speechFolder: expect.stringMatching(/node_modules\/\.cache\/linecheck\/speech$/),
    recording: undefined,
    repeat: 1,
    disorder: undefined,
  });
});

test("what the command line says arrives, whatever characters a value holds", () => {
  const options = readRunOptions({
    LINECHECK_OUT: "elsewhere",
    LINECHECK_FAULTS: "sbc.drop-header:header=X-Customer-ID\nacs.busy:times=1",
    LINECHECK_AGENT_ENV: "AGENT_COMPANY_NAME=A, B=C\nLOG_LEVEL=",
    LINECHECK_AGENT: "http://127.0.0.1:8080/events",
    LINECHECK_PORT_BASE: "9000",
    LINECHECK_REPEAT: "3",
    LINECHECK_DISORDER: "29",
    LINECHECK_RECORD_DIALOGUE: "balance",
    LINECHECK_MODEL_ENDPOINT: "https://api.example/v1",
    LINECHECK_MODEL_KEY: "k",
    LINECHECK_RECOGNISER: "python3 engine.py",
  });
  expect(options).toMatchObject({
    folder: "elsewhere",
    agentEnvironment: { AGENT_COMPANY_NAME: "A, B=C", LOG_LEVEL: "" },
    agentUrl: "http://127.0.0.1:8080/events",
    services: { acsPort: 9000, openaiPort: 9003 },
    recogniser: "python3 engine.py",
    recording: { name: "balance", endpoint: { url: "https://api.example/v1", key: "k" } },
    repeat: 3,
    disorder: 29,
  });
  expect(options.faults).toEqual([
    { name: "sbc.drop-header", with: { header: "X-Customer-ID" } },
    { name: "acs.busy", with: {}, times: 1 },
  ]);
});
