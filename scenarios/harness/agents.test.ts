import { expect, test } from "vitest";
import { startLab } from "../../simulator/lab.ts";
import { startAgents } from "./agents.ts";

test("with another agent under test the bundled one is not to be had", async () => {
  await using lab = await startLab();
  const options = { settings: {}, signal: new AbortController().signal };
  await using first = await startAgents(lab, { ...options, agentUrl: undefined });
  const agentUrl = first.bundled.webhookUrl;
  await using agent = await startAgents(lab, { ...options, agentUrl });
  const code = "BUNDLED_AGENT_NEEDED";
  expect(agent.webhookUrl).toBe(agentUrl);
  expect(() => agent.bundled).toThrow(expect.objectContaining({ code }));
  await expect(agent.startAnother({})).rejects.toMatchObject({ code });
  await expect(agent.startProcess({})).rejects.toMatchObject({ code });
});
