import { describe, expect, test } from "vitest";
import { Negotiation, type NegotiationOptions } from "./negotiation.ts";

const KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
/** Base64 of 30 octets of 1, 2, 3 …: what this side's first keys are made of in these tests. */
const ownKey = (octet: number) => Buffer.alloc(30, octet).toString("base64");

function side(options: Partial<NegotiationOptions> = {}): Negotiation {
  let drawn = 0;
  return new Negotiation({
    address: { host: "127.0.0.1", port: 40_000 },
    codecs: ["PCMU", "PCMA"],
    srtp: "off",
    suites: ["AES_CM_128_HMAC_SHA1_80"],
    style: {},
    random: (length) => new Uint8Array(length).fill(drawn++),
    ...options,
  });
}

const secured = (options: Partial<NegotiationOptions> = {}) =>
  side({ srtp: "required", ...options });

function sdp(media: string, ...attributes: string[]): string {
  const head = ["v=0", "o=- 1 1 IN IP4 127.0.0.9", "s=-", "c=IN IP4 127.0.0.9", "t=0 0"];
  return [...head, media, ...attributes, ""].join("\r\n");
}

function rtcpPort(...attributes: string[]): number {
  const offer = sdp("m=audio 5004 RTP/AVP 0", ...attributes);
  return side().answer(offer, "sendrecv").negotiated.remoteRtcpPort;
}

describe("plain RTP", () => {
  test("an offer names both laws, telephone events and the packet time", () => {
    expect(side().offer("sendrecv").split("\r\n")).toEqual([
      "v=0",
      "o=- 0 1 IN IP4 127.0.0.1",
      "s=-",
      "c=IN IP4 127.0.0.1",
      "t=0 0",
      "m=audio 40000 RTP/AVP 0 8 101",
      "a=rtpmap:0 PCMU/8000",
      "a=rtpmap:8 PCMA/8000",
      "a=rtpmap:101 telephone-event/8000",
      "a=fmtp:101 0-16",
      "a=ptime:20",
      "a=rtcp:40000",
      "a=rtcp-mux",
      "a=sendrecv",
      "",
    ]);
  });

  test("an answer takes the offer's first codec and its payload types", () => {
    const offer = sdp(
      "m=audio 5004 RTP/AVP 18 8 0 96",
      "a=rtpmap:18 G729/8000",
      "a=rtpmap:96 telephone-event/8000",
    );
    const { sdp: answer, negotiated } = side().answer(offer, "sendrecv");
    expect(negotiated).toMatchObject({
      codec: "PCMA",
      payloadType: 8,
      remote: { host: "127.0.0.9", port: 5_004 },
      remoteRtcpPort: 5_005,
      telephoneEvent: 96,
      direction: "sendrecv",
      srtp: false,
    });
    expect(answer).toContain("m=audio 40000 RTP/AVP 8 96\r\n");
    expect(answer).toContain("a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-16\r\n");
    expect(answer).not.toContain("rtcp-mux");
  });

  test("a law under a dynamic number keeps that number", () => {
    const offer = sdp("m=audio 5004 RTP/AVP 97", "a=rtpmap:97 PCMU/8000");
    const { sdp: answer, negotiated } = side().answer(offer, "sendrecv");
    expect(negotiated).toMatchObject({ codec: "PCMU", payloadType: 97 });
    expect(negotiated.received.get(97)).toBe("PCMU");
    expect(negotiated.telephoneEvent).toBeUndefined();
    expect(answer).toContain("a=rtpmap:97 PCMU/8000\r\n");
  });

  test("reports go to the RTP port, to a=rtcp, or to the port above", () => {
    expect(rtcpPort("a=rtcp-mux", "a=rtcp:5020")).toBe(5_004);
    expect(rtcpPort("a=rtcp:5020 IN IP4 127.0.0.9")).toBe(5_020);
    expect(rtcpPort()).toBe(5_005);
  });

  test("further streams are declined in their place", () => {
    const offer = sdp(
      "m=video 6000 RTP/AVP 96",
      "m=audio 5004 RTP/AVP 0",
      "m=audio 5006 RTP/AVP 0",
    );
    const { sdp: answer } = side().answer(offer, "sendrecv");
    const sections = answer.split("\r\n").filter((line) => line.startsWith("m="));
    expect(sections).toEqual([
      "m=video 0 RTP/AVP 96",
      "m=audio 40000 RTP/AVP 0",
      "m=audio 0 RTP/AVP 0",
    ]);
  });

  test.for([
    ["sendrecv", "sendrecv", "sendrecv"],
    ["sendonly", "sendrecv", "recvonly"],
    ["recvonly", "sendrecv", "sendonly"],
    ["inactive", "sendrecv", "inactive"],
    ["sendrecv", "inactive", "inactive"],
    ["sendrecv", "sendonly", "sendonly"],
    ["sendonly", "sendonly", "inactive"],
  ] as const)("offered %s, wanted %s is answered %s", ([offered, wanted, answered]) => {
    const offer = sdp("m=audio 5004 RTP/AVP 0", `a=${offered}`);
    const { sdp: answer, negotiated } = side().answer(offer, wanted);
    expect(negotiated.direction).toBe(answered);
    expect(answer).toContain(`a=${answered}\r\n`);
  });

  test("hold and resume keep the session's id and count its version up", () => {
    const one = side();
    const origins = (["sendrecv", "inactive", "sendrecv"] as const).map(
      (direction) => one.offer(direction).split("\r\n")[1],
    );
    expect(origins).toEqual([
      "o=- 0 1 IN IP4 127.0.0.1",
      "o=- 0 2 IN IP4 127.0.0.1",
      "o=- 0 3 IN IP4 127.0.0.1",
    ]);
  });

  test("an answer's own numbers for events are sent to, and ours still understood", () => {
    const one = side();
    one.offer("sendrecv");
    const answer = sdp("m=audio 5004 RTP/AVP 8 120", "a=rtpmap:120 TELEPHONE-EVENT/8000");
    const negotiated = one.accept(answer);
    expect(negotiated).toMatchObject({ codec: "PCMA", telephoneEvent: 120 });
    expect([101, 120].map((type) => negotiated.received.get(type))).toEqual([
      "telephone-event",
      "telephone-event",
    ]);
  });

  test.for([
    ["no audio at all", sdp("m=video 6000 RTP/AVP 96"), "InvalidSdp"],
    ["a declined audio", sdp("m=audio 0 RTP/AVP 0"), "CannotSupportAnyMedia"],
    ["no codec of ours", sdp("m=audio 5004 RTP/AVP 18 9"), "CannotSupportAnyMedia"],
    [
      "events alone",
      sdp("m=audio 5004 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"),
      "CannotSupportAnyMedia",
    ],
    ["a secured profile", sdp("m=audio 5004 RTP/SAVP 0"), "CannotSupportAnyMedia"],
    ["a black hole", sdp("m=audio 5004 RTP/AVP 0", "c=IN IP4 0.0.0.0"), "BlackholeMedia"],
  ])("%s is refused", ([, offer = "", code]) => {
    expect(() => side().answer(offer, "sendrecv")).toThrow(expect.objectContaining({ code }));
    expect(() => side().accept(offer)).toThrow(expect.objectContaining({ code }));
  });
});

describe("SRTP", () => {
  const both = ["AES_CM_128_HMAC_SHA1_32", "AES_CM_128_HMAC_SHA1_80"] as const;

  test("an offer carries one line per suite, in the style of the Microsoft side", () => {
    const offer = secured({
      suites: both,
      style: {
        sessionName: "session",
        bandwidth: "CT:10000000",
        firstCryptoTag: 0,
        attributes: [{ name: "label", value: "main-audio" }],
      },
    }).offer("sendrecv");
    expect(offer).toContain("s=session\r\nc=IN IP4 127.0.0.1\r\nb=CT:10000000\r\nt=0 0\r\n");
    expect(offer).toContain("m=audio 40000 RTP/SAVP 0 8 101\r\n");
    expect(offer).toContain(
      `a=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:${ownKey(1)}|2^31\r\n` +
        `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${ownKey(2)}|2^31\r\n` +
        "a=label:main-audio\r\na=sendrecv\r\n",
    );
  });

  const microsoftOffer = sdp(
    "m=audio 5004 RTP/SAVP 0 8 101",
    `a=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:${KEY}|2^31`,
    `a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|2^31|1:1`,
  );

  test("an answer reuses the tag of the line it chose, and only that line", () => {
    const { sdp: answer, negotiated } = secured().answer(microsoftOffer, "sendrecv");
    const lines = answer.split("\r\n").filter((line) => line.startsWith("a=crypto"));
    expect(lines).toEqual([`a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:${ownKey(1)}|2^31`]);
    expect(negotiated.keys?.remote).toMatchObject({ tag: 7, mki: { value: 1n, length: 1 } });
    expect(negotiated.keys?.local.tag).toBe(7);
  });

  test("answering again keeps the own key", () => {
    const one = secured();
    const keys = [1, 2].map(
      () => one.answer(microsoftOffer, "sendrecv").negotiated.keys?.local.key,
    );
    expect(keys[0]).toEqual(keys[1]);
  });

  test("an answer to our offer settles both keys", () => {
    const one = secured({ suites: both });
    one.offer("sendrecv");
    const line = `a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|2^31`;
    const { keys, srtp } = one.accept(sdp("m=audio 5004 RTP/SAVP 0", line));
    expect(srtp).toBe(true);
    expect(keys?.local).toMatchObject({ tag: 2, suite: "AES_CM_128_HMAC_SHA1_80" });
    expect(Buffer.from(keys?.remote.key ?? []).toString("base64")).toBe(KEY);
  });

  const line = (tag: number, suite: string) => `a=crypto:${tag} ${suite} inline:${KEY}`;
  test.for([
    ["plain RTP", "RTP/AVP", [], "SrtpEncryptionRequired"],
    ["no key", "RTP/SAVP", [], "SrtpEncryptionRequired"],
    [
      "an unreadable key",
      "RTP/SAVP",
      ["a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"],
      "SrtpEncryptionRequired",
    ],
    ["a tag that was not offered", "RTP/SAVP", [line(3, both[1])], "InvalidSdp"],
    ["the suite of another tag", "RTP/SAVP", [line(1, both[1])], "InvalidSdp"],
    ["two lines", "RTP/SAVP", [line(1, both[0]), line(2, both[1])], "SrtpEncryptionRequired"],
  ] as const)("an answer with %s is refused", ([, profile, lines, code]) => {
    const one = secured({ suites: both });
    one.offer("sendrecv");
    const answer = sdp(`m=audio 5004 ${profile} 0`, ...lines);
    expect(() => one.accept(answer)).toThrow(expect.objectContaining({ code }));
  });

  test("an offer whose suites this side does not run says which it wants", () => {
    const offer = sdp("m=audio 5004 RTP/SAVP 0", line(1, both[0]));
    expect(() => secured().answer(offer, "sendrecv")).toThrow(
      "expected AES_CM_128_HMAC_SHA1_80, got AES_CM_128_HMAC_SHA1_32",
    );
  });
});

test("an offer of thousands of formats and attributes is refused without ado", () => {
  const lines = Array.from({ length: 900 }, (_, number) => `a=rtpmap:${number} x/8000`);
  const offer = sdp(`m=audio 5004 RTP/AVP${" 300".repeat(5_000)}${" 18".repeat(8_000)}`, ...lines);
  const startedMs = performance.now();
  expect(() => side().answer(offer, "sendrecv")).toThrow("expected PCMU or PCMA");
  expect(performance.now() - startedMs).toBeLessThan(50);
});
