import { expect, scenario } from "../harness/scenario.ts";

const HOSTILE = `Wants a refund.\r\nX-Evil: 1\r\n\r\nv=0\n\tx\0"<sip:x@y>"; ${"é😀".repeat(100)}`;
const LENGTHY = `${HOSTILE}\r\nRefer-To: <sip:evil@evil.test>\r\n`.repeat(64_000 / HOSTILE.length);
const ALLOWED = ["X-AI-Summary", "X-Customer-ID", "X-Transfer-Reason"];

for (const { title, summary, directTransfer, method } of [
  {
    title: "a summary cannot add a header or break one",
    summary: HOSTILE,
    directTransfer: false,
    method: "INVITE",
  },
  {
    title: "a summary of 64 kB in a REFER cannot either",
    summary: LENGTHY,
    directTransfer: true,
    method: "REFER",
  },
]) {
  scenario(
    title,
    async ({ phone, llm, queue, trace }) => {
      llm.when("dispute").escalates({ summary });

      const call = await phone.call("+18005551234", { from: "+14255550100" });
      await call.presses("2");
      await call.hears("How can I help");
      await call.says("I would like to dispute a charge on my account.");

      const handoff = await queue.nextCall();
      expect(handoff.summary).toMatch(/^Wants a refund\. X-Evil: 1 v=0 x "<sip:x@y>"; é😀/);
      const carrying = trace.events.flatMap((event) =>
        event.type === "sip" && event.message.includes("X-AI-Summary") ? [event] : [],
      );
      // What Microsoft sends. What the SBC makes of it is here too if its daemon is the lab's own.
      const sent = carrying.filter(({ party }) => party === "acs");
      expect(new Set(sent.map(({ message }) => message.split(" ", 1)[0]))).toEqual(
        new Set([method]),
      );
      for (const { message } of carrying) checkHeaders(message);
      await call.hangsUp();
    },
    { lab: { directTransfer, tokenMs: 0 } },
  );
}

/** Every line of the head is one printable header, and the custom ones are ours, once each. */
function checkHeaders(message: string): void {
  const [, ...lines] = message.slice(0, message.indexOf("\r\n\r\n")).split("\r\n");
  for (const line of lines) expect(line).toMatch(/^[\w.!%*+~-]+: ?[\x20-\x7E]*$/);
  const names = lines.map((line) => line.slice(0, line.indexOf(":")));
  expect(names.filter((name) => /^x-/i.test(name))).toEqual(ALLOWED);
  expect(names.filter((name) => /^(?:refer-to|call-id|cseq)$/i.test(name))).toHaveLength(
    message.startsWith("REFER") ? 3 : 2,
  );
  const value = lines.find((line) => line.startsWith("X-AI-Summary: ")) ?? "";
  expect(value.slice("X-AI-Summary: ".length)).toMatch(/^[A-Za-z\d=;.!%*_+~-]{1,256}$/);
}
