import { expect, scenario } from "../harness/scenario.ts";

const HOSTILE = `Wants a refund.\r\nX-Evil: 1\0"<sip:x@y>"; ${"é😀".repeat(100)}`;

scenario("a summary cannot add a header or break one", async ({ phone, llm, queue, trace }) => {
  llm.when("dispute").escalates({ summary: HOSTILE });

  const call = await phone.call("+18005551234", { from: "+14255550100" });
  await call.hears("press two");
  await call.presses("2");
  await call.hears("How can I help");
  await call.says("I would like to dispute a charge on my account.");

  const handoff = await queue.nextCall();
  expect(handoff.summary).toMatch(/^Wants a refund\. X-Evil: 1 "<sip:x@y>"; é😀/);
  const messages = trace.events.flatMap((event) =>
    event.type === "sip" ? [JSON.stringify(event)] : [],
  );
  const carrying = messages.filter((message) => message.includes("X-AI-Summary"));
  expect(carrying.length).toBeGreaterThan(0);
  for (const message of carrying) {
    expect(message).not.toMatch(/(\\r\\n|\\n|^)X-Evil/);
    const value = /X-AI-Summary: ?([^\\]*)/.exec(message)?.[1] ?? "";
    expect(value).toMatch(/^[A-Za-z\d=;.!%*_+~-]{1,256}$/);
  }
  await call.hangsUp();
});
