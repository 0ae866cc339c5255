import { isInstalled } from "../harness/program.ts";
import { startReplicas } from "../harness/replicas.ts";
import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "a replica that comes back after its lease ran out leaves the caller to the human they are with",
  async ({ phone, acs, queue, lab, signal }) => {
    await using replicas = await startReplicas(lab, { signal });
    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("How can I help");
    // Its sockets stay open, so that the service notices nothing: only the lease tells.
    replicas.first.process.pause();

    const handoff = await queue.nextCall({ withinMs: 25_000 });
    const human = await handoff.answers();
    await acs.event("CallTransferAccepted");
    await human.says("How can I help you today?");
    await call.hears("How can I help you today");
    replicas.first.process.resume();
    await human.says("What is your account number?");
    await call.hears("What is your account number");
    expect(call.isUp).toBe(true);
    await call.hangsUp();
    expect(replicas.first.outcomes).toEqual(["interrupted"]);
    expect(replicas.second.outcomes).toEqual(["escalated"]);
  },
  { agent: {}, skip: !isInstalled("redis-server") },
);
