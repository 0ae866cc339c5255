import { isInstalled } from "../harness/program.ts";
import { startReplicas } from "../harness/replicas.ts";
import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "replicas that lose their Redis go on with their calls and answer new ones",
  async ({ phone, llm, lab, signal }) => {
    await using replicas = await startReplicas(lab, { signal });
    llm.when("current balance").says("Your balance is forty nine dollars.");
    llm.when("what plan").says("You are on the premium plan.");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("How can I help");
    await replicas.loseRedis();
    await call.says("What is my current balance?");
    await call.hears("Your balance is forty nine dollars");
    expect((await fetch(`${replicas.first.url}/readyz`)).status).toBe(503);

    const next = await phone.call("+18005551234", { from: "+14255550101" });
    await next.hears("press two");
    await next.presses("2");
    await next.hears("How can I help");
    await next.says("And what plan am I on?");
    await next.hears("You are on the premium plan");
    expect(call.isUp).toBe(true);
    await next.hangsUp();
    await call.hangsUp();
  },
  { agent: {}, skip: !isInstalled("redis-server") },
);
