import { mkdtempDisposableSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "an agent that is killed in mid-call loses no finished turn",
  async ({ phone, llm, agent }) => {
    llm.when("current balance").says("Your balance is forty nine dollars.");
    llm
      .when("terms")
      .says(
        "Your contract runs for twenty four months and renews every year, unless you cancel it.",
      );
    using folder = mkdtempDisposableSync(join(tmpdir(), "linecheck-killed-"));
    const database = { AGENT_DATABASE: join(folder.path, "agent.sqlite") };
    const killed = await agent.startProcess(database);

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What is my current balance?");
    await call.hears("Your balance is forty nine dollars");
    await call.says("What are the terms of my contract?");
    await call.hears("twenty four months", { asTheyAreSpoken: true });
    await killed.kill();
    await call.hangsUp();

    const { store } = await agent.startAnother(database);
    const [record] = store.calls();
    expect(record).toMatchObject({ customerId: "C-1042", outcome: "interrupted" });
    expect(store.turns(record?.id ?? "").map(({ role, text }) => `${role}: ${text}`)).toEqual([
      "agent: Hello Dana, I see you are calling about billing. How can I help you today?",
      "caller: What is my current balance?",
      "agent: Your balance is forty nine dollars.",
      "caller: What are the terms of my contract?",
    ]);
  },
);
