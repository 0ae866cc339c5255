import { describe, expect, test } from "vitest";
import { formatReport, middleOfNtp, parseReport } from "./rtcp.ts";
import { formatRtp, isRtcp, parseRtp } from "./rtp.ts";

const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));
const toHex = (octets: Uint8Array) => Buffer.from(octets).toString("hex");

describe("RTP", () => {
  const packet = {
    payloadType: 101,
    marker: true,
    sequence: 0xfffe,
    timestamp: 0xdecafbad,
    ssrc: 0xcafebabe,
    payload: hex("0b0a00a0"),
  };

  test("a packet is written as in RFC 3550 §5.1 and read back", () => {
    const datagram = formatRtp(packet);
    expect(toHex(datagram)).toBe("80e5fffedecafbadcafebabe0b0a00a0");
    expect(parseRtp(datagram)).toEqual(packet);
  });

  test("contributing sources, header extension and padding are skipped", () => {
    const datagram = hex(
      "b2 65 fffe decafbad cafebabe  00000001 00000002  bede0001 10ff0000  0b0a00a0 00000004",
    );
    expect(parseRtp(datagram)).toEqual({ ...packet, marker: false });
  });

  test.for([
    ["an empty datagram", ""],
    ["half a header", "80e5fffedeca"],
    ["another version", "40e5fffedecafbadcafebabe"],
    ["missing contributing sources", "82e5fffedecafbadcafebabe00000001"],
    ["a header extension beyond the end", "90e5fffedecafbadcafebabebede0002ffffffff"],
    ["more padding than payload", "a0e5fffedecafbadcafebabe00000005"],
    ["padding of none", "a0e5fffedecafbadcafebabe00000000"],
  ])("%s is no packet", ([, datagram = ""]) => {
    expect(parseRtp(hex(datagram))).toBeUndefined();
  });

  test("RTCP is told from RTP on the same port by its second octet", () => {
    expect(isRtcp(hex("80c8"))).toBe(true);
    expect(isRtcp(hex("80c9"))).toBe(true);
    expect(isRtcp(formatRtp(packet))).toBe(false);
    expect(isRtcp(formatRtp({ ...packet, payloadType: 0 }))).toBe(false);
  });
});

describe("RTCP", () => {
  const block = {
    ssrc: 0x01020304,
    fractionLost: 64,
    lost: -2,
    highest: 0x0001_0002,
    jitter: 24,
    lastReport: 0xaabbccdd,
    delay: 65_536,
  };
  const sender = {
    dateMs: Date.UTC(2026, 0, 2, 3, 4, 5, 500),
    timestamp: 160,
    packets: 7,
    octets: 1_120,
  };

  test("a sender report with a name and a goodbye is written part by part", () => {
    const datagram = formatReport({ ssrc: 0xcafebabe, sender, blocks: [block], bye: true }, "a@b");
    expect(toHex(datagram)).toBe(
      "81c8000ccafebabe" +
        "ed01b42580000000000000a00000000700000460" +
        "0102030440fffffe0001000200000018aabbccdd00010000" +
        "81ca0003cafebabe" +
        "0103614062000000" +
        "81cb0001cafebabe",
    );
    const blocks = [block];
    const report = { ssrc: 0xcafebabe, sender, middle: 0xb4258000, blocks, bye: true };
    expect(parseReport(datagram)).toEqual(report);
  });

  test("a receiver report says nothing of its own sending", () => {
    const datagram = formatReport({ ssrc: 1, blocks: [], bye: false }, "x");
    expect(parseReport(datagram)).toEqual({ ssrc: 1, blocks: [], bye: false });
  });

  test("a sender report whose clock started at zero is answered with what it says", () => {
    const datagram = hex("80c80006cafebabe0000006480000000000000a00000000700000460");
    expect(parseReport(datagram)?.middle).toBe(0x0064_8000);
  });

  test("the middle of an NTP time counts in 65536ths of a second", () => {
    expect(middleOfNtp(sender.dateMs)).toBe(0xb4258000);
    expect((middleOfNtp(sender.dateMs + 1_500) - 0xb4258000) / 65_536).toBe(1.5);
  });

  test.for([
    ["an empty datagram", ""],
    ["a part longer than the datagram", "80c90002cafebabe"],
    ["a block count beyond the part", "81c90001cafebabe"],
    ["a sender report without its times", "80c80001cafebabe"],
    ["another version", "40c90001cafebabe"],
    ["a part without a source", "80c90000"],
  ])("%s is no report", ([, datagram = ""]) => {
    expect(parseReport(hex(datagram))).toBeUndefined();
  });
});
