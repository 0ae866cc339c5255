import { beforeAll, expect, test } from "vitest";
import { manualClock, systemClock } from "../../clock.ts";
import {
  connect,
  type EdgeCertificates,
  issueEdgeCertificates,
  QUEUE,
  refer,
  startOnlineLab,
} from "../testing/edge-lab.ts";

const clock = systemClock();
let certificates: EdgeCertificates;

beforeAll(async () => {
  certificates = await issueEdgeCertificates();
});

test("NOTIFYs against the book are advised on", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const { settled } = await refer(lab, leg);
  const headers = { Event: "refer", "Subscription-State": "active", "Content-Type": "text/plain" };
  await call.send("NOTIFY", headers, "SIP/2.0 480 Temporarily Unavailable\r\n");
  expect(await settled).toMatchObject({ code: 480 });
  expect(lab.edge.findings.map(({ code }) => code)).toEqual(
    expect.arrayContaining([
      "NOTIFY_NOT_SIPFRAG",
      "NOTIFY_WITHOUT_TRYING",
      "NOTIFY_NOT_TERMINATED",
    ]),
  );
});

test("a NOTIFY that overtakes the 202 counts", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const transfer = leg.transfer(QUEUE, {}).catch((error: unknown) => error);
  const transaction = await lab.sbc.next("REFER");
  await call.notify("SIP/2.0 486 Busy Here", "terminated;reason=noresource");
  lab.sbc.referral(transaction);
  expect(await transfer).toMatchObject({ code: 486, subCode: 560_486 });
});

test("a NOTIFY without Event: refer or without a status line is noted and not believed", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const { settled } = await refer(lab, leg);
  await call.send("NOTIFY", { Event: "presence" }, "SIP/2.0 200 OK\r\n");
  await call.send("NOTIFY", { Event: "refer" }, "hello");
  await call.notify("SIP/2.0 480 Temporarily Unavailable", "terminated;reason=noresource");
  expect(await settled).toMatchObject({ code: 480 });
  expect(lab.findings()).toEqual(["NOTIFY_MALFORMED", "NOTIFY_MALFORMED"]);
});

test("an application that hangs up during the transfer is not the border controller's fault", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg } = await connect(lab);
  const { settled } = await refer(lab, leg);
  await leg.hangUp();
  expect(await settled).toMatchObject({ code: 487 });
  expect(lab.findings()).toEqual([]);
});

test("a subscription that ends without a final status fails the transfer", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const { settled } = await refer(lab, leg);
  await call.notify("SIP/2.0 180 Ringing", "terminated;reason=timeout");
  expect(await settled).toMatchObject({
    message: "transfer to +18005550150: ended without a final NOTIFY",
  });
});

test("the reason inside the NOTIFY's fragment reaches the application", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const { settled } = await refer(lab, leg);
  const fragment = 'SIP/2.0 486 Busy Here\r\nReason: Q.850;cause=17;text="User busy"';
  await call.notify(fragment, "terminated;reason=noresource");
  expect(await settled).toMatchObject({ q850: { code: 17, message: "User busy" } });
});

test("without a final NOTIFY the transfer times out and the call drops", async () => {
  const time = manualClock({ start: clock.date() });
  const policy = { transferTimeoutMs: 2_000 };
  await using lab = await startOnlineLab({ certificates, clock: time, policy });
  const { leg, call } = await connect(lab);
  const { settled } = await refer(lab, leg);
  await call.notify("SIP/2.0 100 Trying", "active;expires=60");
  await time.advance(2_000);
  expect(await settled).toMatchObject({
    code: 408,
    subCode: 500_001,
    message:
      "transfer to +18005550150: no final NOTIFY within 2000 ms (NOTIFY so far: 100; no referred INVITE came)",
  });
  expect(await leg.ended).toEqual({ by: "network" });
});

test.each([
  ["drops", "drop", 0],
  ["survives by policy", "keep", 1],
] as const)("without an answer to the REFER the call %s", async (_what, missingNotify, dialogs) => {
  const time = manualClock({ start: clock.date() });
  const policy = { mediaTimeoutMs: 0, missingNotify };
  await using lab = await startOnlineLab({ certificates, clock: time, policy });
  const { leg } = await connect(lab);
  const transfer = leg.transfer(QUEUE, {}).catch((error: unknown) => error);
  await lab.sbc.next("REFER");
  await time.advance(32_000);
  expect(await transfer).toMatchObject({ name: "PstnRefusal", code: 408 });
  expect(lab.edge.liveDialogs).toBe(dialogs);
  expect(lab.findings()).toContain("REFER_UNANSWERED");
});

test("by policy the call survives a missing NOTIFY", async () => {
  const time = manualClock({ start: clock.date() });
  const policy = { transferTimeoutMs: 2_000, missingNotify: "keep" } as const;
  await using lab = await startOnlineLab({ certificates, clock: time, policy });
  const { leg } = await connect(lab);
  const { settled } = await refer(lab, leg);
  await time.advance(2_000);
  expect(await settled).toMatchObject({ code: 408 });
  expect(lab.edge.liveDialogs).toBe(1);
});

test("a BYE instead of the final NOTIFY fails the transfer", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const { settled } = await refer(lab, leg);
  await call.bye();
  expect(await settled).toMatchObject({
    message: "transfer to +18005550150: the call was ended before the final NOTIFY",
  });
  expect(await leg.ended).toEqual({ by: "peer" });
  expect(lab.findings()).toEqual(["BYE_BEFORE_NOTIFY"]);
});
