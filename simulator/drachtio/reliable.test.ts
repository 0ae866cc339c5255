import { expect, test } from "vitest";
import { manualClock } from "../clock.ts";
import { SipResponse } from "../sip/message.ts";
import { DEFAULT_TIMERS } from "../sip/timers.ts";
import { ReliableProvisionals } from "./reliable.ts";

function start() {
  const clock = manualClock();
  const sent: string[] = [];
  let timeouts = 0;
  const reliable = new ReliableProvisionals({
    clock,
    timers: DEFAULT_TIMERS,
    inviteCseq: 5,
    send: (response) => sent.push(`${clock.now()} ${response.status} ${response.get("RSeq")}`),
    onTimeout: () => {
      timeouts += 1;
    },
  });
  return { clock, sent, reliable, timeouts: () => timeouts };
}

const progress = (status: number) => new SipResponse({ status });

test("a response is repeated at growing intervals until its PRACK", async () => {
  const { clock, sent, reliable } = start();
  reliable.offer(progress(180));
  await clock.advance(3_600);
  expect(sent).toEqual(["0 180 1", "500 180 1", "1500 180 1", "3500 180 1"]);
  expect(reliable.acknowledge("1 5 INVITE")).toBe(true);
  await clock.advance(60_000);
  expect(sent).toHaveLength(4);
  expect(clock.pending).toBe(0);
});

test("the next response waits for the PRACK of the one before", () => {
  const { sent, reliable } = start();
  reliable.offer(progress(180));
  reliable.offer(progress(183));
  expect(sent).toEqual(["0 180 1"]);
  reliable.acknowledge("1 5 INVITE");
  expect(sent).toEqual(["0 180 1", "0 183 2"]);
});

test.each(["2 5 INVITE", "1 6 INVITE", "1 5 UPDATE", "", "x"])(
  "RAck %s acknowledges nothing",
  (rack) => {
    const { reliable } = start();
    reliable.offer(progress(180));
    expect(reliable.acknowledge(rack)).toBe(false);
  },
);

test("without PRACK it is over after 64*T1", async () => {
  const { clock, reliable, timeouts } = start();
  reliable.offer(progress(180));
  await clock.advance(32_000);
  expect([timeouts(), clock.pending]).toEqual([1, 0]);
});

test("a final response stops the repetition", async () => {
  const { clock, sent, reliable } = start();
  reliable.offer(progress(180));
  reliable.offer(progress(183));
  reliable.stop();
  await clock.advance(10_000);
  expect(sent).toEqual(["0 180 1"]);
});

test("one more than may wait is refused, and takes no number", () => {
  const { sent, reliable } = start();
  for (let count = 0; count < 17; count++) reliable.offer(progress(183));
  expect(() => reliable.offer(progress(183))).toThrow("16 provisional responses wait for a PRACK");
  reliable.acknowledge("1 5 INVITE");
  reliable.offer(progress(180));
  for (let rseq = 2; rseq < 18; rseq++) reliable.acknowledge(`${rseq} 5 INVITE`);
  expect(sent.at(-1)).toBe("0 180 18");
});
