import { scenario } from "./harness/scenario.ts";

scenario(
  "a conversation that was recorded with a model is had again without it",
  async ({ phone }) => {
    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("How can I help");

    await call.says("What is my current balance?");
    await call.hears("Your balance is 49.99 dollars");
    await call.says("That is all I needed.");
    await call.hears("Goodbye");
    await call.isEnded();
  },
  { dialogue: "balance" },
);
