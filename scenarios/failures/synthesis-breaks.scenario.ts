import { BUDGETS } from "../harness/budgets.ts";
import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "a voice that breaks off goes on at the word, and one that hesitates is asked again",
  async ({ phone, llm, lab, agent }) => {
    llm.when("current balance").says("Your balance is forty nine dollars and ninety nine cents.");
    llm.when("due date").says("Your next payment is due on the first of March.");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");

    lab.faults.add({ name: "speech.drop-synthesis", with: { afterMs: 1500 }, times: 1 });
    await call.says("What is my current balance?");
    await call.hears("ninety nine cents");
    lab.faults.add({ name: "speech.slow-synthesis", with: { firstByteMs: 20_000 }, times: 1 });
    await call.says("What is my current payment due date?");
    await call.hears("due on the first of March");

    const struck = lab.faults.struck.filter((name) => name.startsWith("speech."));
    expect(struck).toEqual(["speech.drop-synthesis", "speech.slow-synthesis"]);
    const store = agent.bundled.store;
    const turns = store.turns(store.calls()[0]?.id ?? "").map(({ text }) => text);
    expect(turns).toContain("Your balance is forty nine dollars and ninety nine cents.");
    expect(call).toHaveResponseTime({ p95Ms: BUDGETS.unexplainedSilenceMs });
    await call.hangsUp();
  },
  { agent: { SPEECH_FIRST_AUDIO_TIMEOUT_MS: "1500" } },
);
