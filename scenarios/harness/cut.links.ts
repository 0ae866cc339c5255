import { execFile } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { filesWith } from "./canaries.ts";

/**
 * Cutting any one link of the call makes the right scenario fail, and the failure names the link.
 * The scenarios are run as a user would run them, by the command line.
 */
interface Cut {
  readonly link: string;
  readonly scenario: string;
  readonly arguments: readonly string[];
  /** What the failure has to say. */
  readonly says: readonly RegExp[];
}

/** The keys of the lab's speech and model services: what fails is told without them. */
const SERVICE_KEYS = ["lab-speech-key", "lab-openai-key"];

const CUTS: readonly Cut[] = [
  {
    link: "the SBC drops X-Customer-ID",
    scenario: "header-passing",
    arguments: ["--fault", "sbc.drop-header:header=X-Customer-ID"],
    says: [/X-Customer-ID is not as expected/, /ivr → sbc +INVITE +C-1042/, /lost at sbc/],
  },
  {
    link: "the SBC alters Referred-By",
    scenario: "escalation",
    arguments: ["--fault", "sbc.alter-referred-by"],
    says: [/a call reaches the human queue/, /Referred-By/],
  },
  {
    link: "the synthesiser is silent",
    scenario: "conversation",
    arguments: ["--fault", "speech.silent-synthesis"],
    says: [/How can I help/, /the synthesiser is the broken link/],
  },
  {
    link: "ACS ignores StopAudio",
    scenario: "barge-in",
    arguments: ["--fault", "acs.ignore-stop-audio"],
    says: [
      /silence at the caller's ear within 300 ms/,
      /StopAudio reached ACS/,
      /ACS is the broken link/,
    ],
  },
  {
    link: "the agent forgets to encode the summary",
    scenario: "escalation",
    arguments: ["--agent-env", "AGENT_SUMMARY_ENCODING=none"],
    says: [/a call reaches the human queue/, /X-AI-Summary/, /8523/],
  },
];

describe.concurrent("a cut link is named", () => {
  test.each(CUTS)("$link", async (cut) => {
    const { code, output, out } = await runScenario(cut);
    expect(output).toContain("0 passed, 1 failed");
    for (const words of cut.says) expect(output).toMatch(words);
    expect(code).toBe(1);
    for (const key of SERVICE_KEYS) expect(output).not.toContain(key);
    expect(filesWith(out, SERVICE_KEYS)).toEqual([]);
  });
});

function runScenario({
  scenario,
  arguments: args,
  link,
}: Cut): Promise<{ code: number; output: string; out: string }> {
  const out = join("out", "links", link.replaceAll(/\W+/g, "-"));
  const command = [
    "simulator/cli.ts",
    "run",
    `scenarios/${scenario}.scenario.ts`,
    "--out",
    out,
    ...args,
  ];
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      command,
      { timeout: 110_000, env: { ...process.env, VITEST: "" } },
      (error, stdout, stderr) => {
        // A run that was killed or never began has no exit code, and is no failed scenario.
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ code, output: stdout + stderr, out });
      },
    );
  });
}
