import { beforeAll, expect, test } from "vitest";
import {
  connect,
  type EdgeCertificates,
  issueEdgeCertificates,
  SBC,
  startEdgeLab,
  startOnlineLab,
} from "./testing/edge-lab.ts";

const GUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;
let certificates: EdgeCertificates;

beforeAll(async () => {
  certificates = await issueEdgeCertificates();
});

test("OPTIONS both ways bring a trunk online", async () => {
  await using lab = await startEdgeLab({ certificates });
  const { edge, sbc } = lab;
  const [first] = edge.datacenters;
  const response = first && (await sbc.options(first));
  expect(response?.startLine).toBe("SIP/2.0 200 OK");
  expect(response?.get("To")).not.toContain("tag=");
  expect(response?.toString()).toMatch(/\r\nALLOW: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY\r\n/);
  const probe = await sbc.next("OPTIONS");
  expect(probe.request.toString()).toMatch(
    /^OPTIONS sip:sbc\.linecheck\.test:\d+;transport=tls SIP\/2\.0\r\nFROM: <sip:sip-du-a-us\.pstnhub/,
  );
  await edge.waitForOnline(SBC, { timeoutMs: 2_000 });
  expect(edge.trunkStatus(SBC)).toEqual({ tls: "active", ping: "active", overall: "online" });
});

test("an incoming call rings, is answered with media, and hangs up", async () => {
  await using lab = await startOnlineLab({ certificates });
  const progress: number[] = [];
  const invited = lab.sbc.invite({
    headers: { "X-Customer-ID": "C-1042", "X-Transfer-Reason": "billing" },
    onProgress: (status) => progress.push(status),
  });
  await expect.poll(() => lab.legs.length).toBe(1);
  const [leg] = lab.legs;
  expect(leg).toMatchObject({
    direction: "incoming",
    from: "+14255550100",
    to: "+18005550100",
    sipHeaders: { "X-Customer-ID": "C-1042", "X-Transfer-Reason": "billing" },
    correlationId: expect.stringMatching(GUID),
  });
  await leg?.answer();
  const { response, call } = await invited;
  expect(progress).toEqual([180]);
  expect(response.get("Contact")).toMatch(
    new RegExp(
      `^<sip:api-du-a-usea\\.pstnhub\\.microsoft\\.com:443;x-i=${leg?.correlationId};x-c=[\\da-f]{32}/s/1/[\\da-f]{32}>$`,
    ),
  );
  expect(response.body.toString()).toMatch(/m=audio \d+ RTP\/SAVP /);
  expect(call?.media.negotiated?.srtp).toBe(true);
  const bye = lab.sbc.next("BYE");
  await leg?.hangUp();
  expect((await bye).request.get("Reason")).toBe(
    `Q.850;cause=16;text="${leg?.correlationId};CallEndReasonLocalUserInitiated"`,
  );
  expect(await leg?.ended).toEqual({ by: "local" });
  expect(lab.edge.liveDialogs).toBe(0);
});

test("a caller who hangs up ends the leg with the cause of the Reason header", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  await call.bye({ Reason: 'Q.850;cause=16;text="Normal call clearing"' });
  expect(await leg.ended).toEqual({
    by: "peer",
    q850: { code: 16, message: "Normal call clearing" },
  });
});

test("digits and audio pass between the leg and the border controller", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const digit = new Promise<string>((resolve) => leg.onDigit(resolve));
  const answered = new Promise<string>((resolve) => call.media.onDigit(resolve));
  await Promise.all([call.media.sendDigits("7"), leg.sendDigits("#")]);
  expect(await digit).toBe("7");
  expect(await answered).toBe("#");
  const loud = new Promise<void>((resolve) => {
    call.media.onFrame(({ samples }) => samples.some((sample) => sample > 5_000) && resolve());
  });
  leg.write(new Int16Array(16_000).fill(10_000), 16_000);
  await loud;
  expect(leg.flush()).toBeGreaterThan(0);
});
