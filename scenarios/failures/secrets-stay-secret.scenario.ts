import { mkdtempDisposableSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { filesWith, secretsOf } from "../harness/canaries.ts";
import { expect, scenario } from "../harness/scenario.ts";

const CARD = "4111 1111 1111 1111";

/** Published as P0-6 of Microsoft's call-center accelerator: secrets in the log. */
scenario(
  "no secret and nothing personal is in the log, and a card number nowhere",
  async ({ phone, llm, agent, lab, queue }) => {
    llm.when("card number").escalates({ summary: `Customer's card is ${CARD}.` });
    using folder = mkdtempDisposableSync(join(tmpdir(), "linecheck-canaries-"));
    const database = { AGENT_DATABASE: join(folder.path, "agent.sqlite") };
    const agentProcess = await agent.startProcess({ ...database, LOG_LEVEL: "trace" });

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.says(`My card number is ${CARD}.`);
    const handoff = await queue.nextCall();
    expect(handoff.summary).toBe("Customer's card is ****1111.");
    await call.hangsUp();
    await lab.waitForQuiet({ timeoutMs: 5000 });
    await agentProcess.kill();

    const secrets = secretsOf(lab.agentEnvironment);
    const context = String(lab.acs.incomingCalls[0]?.incomingCallContext);
    const log = agentProcess.log.join("\n");
    expect(log).toContain("tools used");
    for (const canary of [...secrets, context, CARD, "Dana", "14255550100", "card number"]) {
      expect(log).not.toContain(canary);
    }
    expect(filesWith(folder.path, ["My card number is ****1111."])).not.toEqual([]);
    expect(filesWith(folder.path, [...secrets, context, CARD])).toEqual([]);

    const { store } = await agent.startAnother(database);
    expect(store.deleteCustomer("C-1042")).toBe(1);
    expect(filesWith(folder.path, ["Dana", "14255550100", "card number", "1111"])).toEqual([]);
  },
);
