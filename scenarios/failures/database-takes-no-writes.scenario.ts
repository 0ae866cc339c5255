import { mkdtempDisposableSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "a database that takes no writes costs nobody a call",
  async ({ phone, acs, llm, agent, queue }) => {
    llm.when("current balance").says("Your balance is forty nine dollars.");
    llm.when("real person").escalates({ summary: "Customer asks for a person." });
    using folder = mkdtempDisposableSync(join(tmpdir(), "linecheck-full-"));
    const path = join(folder.path, "agent.sqlite");
    const { url } = await agent.startAnother({ AGENT_DATABASE: path, LOG_LEVEL: "silent" });
    using database = new DatabaseSync(path);
    for (const write of ["INSERT ON calls", "INSERT ON turns", "INSERT ON checks"]) {
      const name = write.replaceAll(" ", "_");
      database.exec(
        `CREATE TRIGGER ${name} BEFORE ${write} BEGIN SELECT RAISE(ABORT, 'disk is full'); END`,
      );
    }

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What is my current balance?");
    await call.hears("Your balance is forty nine dollars");
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    await call.says("I want to talk to a real person right now.");
    const handoff = await queue.nextCall();
    expect(handoff.summary).toBe("Customer asks for a person.");
    const human = await handoff.answers();
    await acs.event("CallTransferAccepted");
    await human.says("This is the billing team. How may I help you?");
    await call.hears("This is the billing team");
    await call.hangsUp();
    expect(database.prepare("SELECT * FROM turns").all()).toEqual([]);
  },
  { agent: {} },
);
