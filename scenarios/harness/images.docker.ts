import { execFileSync } from "node:child_process";
import { GenericContainer, Wait } from "testcontainers";
import { expect, test } from "vitest";
import type { TraceEvent } from "../../simulator/trace.ts";
import { sipHeader } from "./custody.ts";

/**
 * The images of docker/, as a team would run them: non-root, read-only, on fixed addresses. One
 * escalation goes through the containers. Runs where a Docker engine has the two images
 * (`npm run images`); elsewhere it is skipped and counted so.
 */
const PORT_BASE = 18900;
const AGENT_PORT = 18910;
const SECRET = "lab-event-grid-secret";
const ACCESS_KEY = "bGluZWNoZWNrLWxhYi1hY2Nlc3Mta2V5LW5vdC1hLXNlY3JldA==";
const SIZE_LIMIT_BYTES = 400_000_000;
const SUMMARY = "Customer asks for a person.";

test.skipIf(!hasImages())("an escalation passes against the containers", async () => {
  await using lab = await new ReadOnlyContainer("linecheck-lab")
    .withNetworkMode("host")
    .withTmpFs({ "/tmp": "rw", "/out": "rw,uid=1000,gid=1000" })
    .withCommand([
      "up",
      `--port-base=${PORT_BASE}`,
      "--out=/out",
      `--subscribe=http://127.0.0.1:${AGENT_PORT}/events?code=${SECRET}`,
    ])
    .withWaitStrategy(Wait.forLogMessage("LINECHECK_SIP_WS"))
    .start();
  await using agent = await new ReadOnlyContainer("linecheck-agent")
    .withNetworkMode("host")
    .withTmpFs({ "/tmp": "rw", "/data": "rw,uid=1000,gid=1000" })
    .withEnvironment(agentEnvironment())
    .withWaitStrategy(Wait.forHealthCheck())
    .start();

  const ready = await lab.exec(["node", "-e", WAIT_FOR_READY]);
  expect(ready.output).toContain("ready");
  const call = await lab.exec([
    "node",
    "simulator/cli.ts",
    "call",
    "--out=/out",
    "--press=2",
    "--say=I want to dispute a charge, please give me a person.",
    "--seconds=8",
  ]);
  expect(call.output).toContain("heard      How can I help you today?");
  expect(call.output).toContain("heard      This is the billing team.");
  expect(call.exitCode).toBe(0);

  const trace = await lab.exec(["node", "-e", PRINT_TRACE]);
  expect(summariesAtTheQueue(trace.output)).toEqual([SUMMARY]);
  expect((await agent.exec(["node", "-p", "process.getuid()"])).output.trim()).toBe("1000");
});

test.skipIf(!hasImages()).each(["linecheck-agent", "linecheck-lab"])(
  "%s is small, and not root's",
  (image) => {
    const [size, user] = execFileSync(
      "docker",
      ["image", "inspect", "--format", "{{.Size}} {{.Config.User}}", image],
      { encoding: "utf8" },
    ).split(/\s+/);
    expect(Number(size)).toBeLessThan(SIZE_LIMIT_BYTES);
    expect(user).toBe("1000:1000");
  },
);

/** A container whose own file system cannot be written. */
class ReadOnlyContainer extends GenericContainer {
  constructor(image: string) {
    super(image);
    this.hostConfig.ReadonlyRootfs = true;
  }
}

/** Runs in the lab's container, which has no shell: says `ready` when the lab is. */
const WAIT_FOR_READY = `
  const { existsSync } = require("node:fs");
  const timer = setInterval(() => {
    if (!existsSync("/out/lab.json")) return;
    console.log("ready");
    clearInterval(timer);
  }, 100);
  setTimeout(() => process.exit(1), 60000).unref();
`;

const PRINT_TRACE = `
  const { url, token } = JSON.parse(require("node:fs").readFileSync("/out/lab.json", "utf8"));
  fetch(url + "/trace", { headers: { authorization: "Bearer " + token } })
    .then((response) => response.text())
    .then((text) => process.stdout.write(text.split("\\n").filter((line) => line.includes('"party":"queue"')).join("\\n")));
`;

/** What X-AI-Summary says in the INVITEs that reached the queue. */
function summariesAtTheQueue(lines: string): string[] {
  return lines
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as TraceEvent)
    .flatMap((event) =>
      event.type === "sip" && event.direction === "in" && event.message.startsWith("INVITE")
        ? [decodeURIComponent(sipHeader(event.message, "X-AI-Summary") ?? "")]
        : [],
    );
}

function agentEnvironment(): Record<string, string> {
  return {
    NODE_ENV: "development",
    AGENT_HOST: "127.0.0.1",
    AGENT_PORT: String(AGENT_PORT),
    AGENT_PUBLIC_URL: `http://127.0.0.1:${AGENT_PORT}`,
    ACS_CONNECTION_STRING: `endpoint=http://127.0.0.1:${PORT_BASE}/;accesskey=${ACCESS_KEY}`,
    ACS_ALLOW_INSECURE_CONNECTION: "true",
    ACS_CALLBACK_AUDIENCE: "00000000-1ab0-4000-8000-00000000acac",
    ACS_CALLBACK_JWKS_URL: `http://127.0.0.1:${PORT_BASE}/calling/keys`,
    EVENT_GRID_SECRET: SECRET,
    SPEECH_HOST: `http://127.0.0.1:${PORT_BASE + 2}`,
    SPEECH_KEY: "lab-speech-key",
    AZURE_OPENAI_ENDPOINT: `http://127.0.0.1:${PORT_BASE + 3}`,
    AZURE_OPENAI_KEY: "lab-openai-key",
    AZURE_OPENAI_DEPLOYMENT: "voice-agent",
    AGENT_QUEUE_NUMBER: "+18005550150",
  };
}

function hasImages(): boolean {
  try {
    execFileSync("docker", ["image", "inspect", "linecheck-agent", "linecheck-lab"], {
      stdio: "ignore",
      timeout: 10_000,
    });
    return true;
  } catch {
    // No client, no engine or no image: each of them means that there is nothing to test.
    return false;
  }
}
