import { describe, expect, test } from "vitest";
import { formatCryptoLine, isUsable, parseCryptoLine } from "./sdes.ts";
import { attribute, directionOf, encodingOf, formatSdp, hostOf, parseSdp } from "./sdp.ts";

const KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

const microsoft = [
  "v=0",
  "o=- 0 0 IN IP4 52.113.1.2",
  "s=session",
  "c=IN IP4 52.113.1.2",
  "b=CT:10000000",
  "t=0 0",
  "m=audio 50004 RTP/SAVP 104 9 103 0 8 13 97 101",
  "c=IN IP4 52.113.1.3",
  "a=rtcp:50005",
  "a=label:main-audio",
  `a=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:${KEY}|2^31`,
  `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|2^31|1:1`,
  "a=rtpmap:104 SILK/16000",
  "a=rtpmap:0 pcmu/8000/1",
  "a=rtpmap:101 telephone-event/8000",
  "a=fmtp:101 0-16",
  "a=ptime:20",
  "a=sendonly",
  "",
].join("\r\n");

describe("session descriptions", () => {
  test("an offer of the Microsoft side is read section by section", () => {
    const session = parseSdp(microsoft);
    const [audio] = session.media;
    if (audio === undefined) throw new Error("no audio");
    expect(session.origin).toEqual({ username: "-", id: "0", version: "0", host: "52.113.1.2" });
    expect(session.bandwidth).toBe("CT:10000000");
    expect(audio).toMatchObject({ kind: "audio", port: 50_004, profile: "RTP/SAVP" });
    expect(audio.formats).toEqual(["104", "9", "103", "0", "8", "13", "97", "101"]);
    expect(hostOf(session, audio)).toBe("52.113.1.3");
    expect(directionOf(session, audio)).toBe("sendonly");
    expect(attribute(audio, "label")).toBe("main-audio");
    expect(attribute(audio, "rtcp-mux")).toBeUndefined();
    const encodings = ["104", "0", "8", "97"].map((type) => encodingOf(audio, type));
    expect(encodings).toEqual(["SILK/16000", "PCMU/8000", "PCMA/8000", undefined]);
  });

  test("what is written is what was read", () => {
    expect(formatSdp(parseSdp(microsoft))).toBe(microsoft);
  });

  test("bare line feeds, IPv6 and a session-wide direction are understood", () => {
    const session = parseSdp(
      "v=0\no=- 1 2 IN IP6 ::1\ns=-\nc=IN IP6 ::1\nt=0 0\na=inactive\nm=audio 9/2 RTP/AVP 0\n",
    );
    const [audio] = session.media;
    if (audio === undefined) throw new Error("no audio");
    expect(hostOf(session, audio)).toBe("::1");
    expect(directionOf(session, audio)).toBe("inactive");
    expect(audio.port).toBe(9);
    expect(formatSdp(session)).toContain("c=IN IP6 ::1\r\n");
  });

  const head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\n";
  test.for([
    ["nothing at all", "", "expected v=0, got nothing"],
    ["another version", "v=1\r\n", 'got "v=1"'],
    ["a line without a type", `${head}audio\r\n`, 'expected <letter>=<value>, got "audio"'],
    ["a missing origin", "v=0\r\ns=-\r\n", "expected o=<user> <id>"],
    ["a host name", `${head}c=IN IP4 sbc.example\r\n`, "expected c=IN IP4|IP6 <address>"],
    ["an address of the other family", `${head}c=IN IP4 ::1\r\n`, 'got "IN IP4 ::1"'],
    ["a port that is no port", `${head}m=audio 70000 RTP/AVP 0\r\n`, "expected m=<kind>"],
    ["a port that is no number", `${head}m=audio x RTP/AVP 0\r\n`, "expected m=<kind>"],
    ["a section without formats", `${head}m=audio 4000 RTP/AVP\r\n`, "expected m=<kind>"],
    ["too many lines", head + "a=x\r\n".repeat(1_000), "more than 1000 lines"],
    ["too much text", head + "a=".padEnd(70_000, "x"), "more than 65536 octets"],
  ])("%s is refused as InvalidSdp", ([, text = "", message = ""]) => {
    const error = refusalOf(() => parseSdp(text));
    expect(error).toMatchObject({ code: "InvalidSdp", message: expect.stringContaining(message) });
  });
});

describe("crypto lines", () => {
  test("tag, suite, key, lifetime and identifier are read", () => {
    const line = parseCryptoLine(`1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|2^31|1:1`);
    expect(line).toMatchObject({
      tag: 1,
      suite: "AES_CM_128_HMAC_SHA1_80",
      lifetime: "2^31",
      mki: { value: 1n, length: 1 },
      parameters: [],
    });
    expect(Buffer.from(line?.key ?? []).toString("base64")).toBe(KEY);
    expect(line && formatCryptoLine(line)).toBe(`1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|2^31|1:1`);
  });

  test.for([
    ["a key alone", `2 X inline:${KEY}`, { tag: 2, suite: "X", parameters: [] }],
    ["a lifetime in packets", `2 X inline:${KEY}|1048576`, { lifetime: "1048576" }],
    ["an identifier alone", `2 X inline:${KEY}|66051:4`, { mki: { value: 66_051n, length: 4 } }],
    ["session parameters", `2 X inline:${KEY} KDR=1 WSH=64`, { parameters: ["KDR=1", "WSH=64"] }],
  ] as const)("%s is fine", ([, text, expected]) => {
    expect(parseCryptoLine(text)).toMatchObject(expected);
  });

  test.for([
    ["no key", "1 X inline:"],
    ["a short key", `1 X inline:${KEY.slice(4)}`],
    ["a key that is not base64", `1 X inline:${KEY.slice(1)}*`],
    ["two keys", `1 X inline:${KEY};inline:${KEY}`],
    ["another method", `1 X uri:https://keys.invalid/1`],
    ["an identifier that does not fit its length", `1 X inline:${KEY}|2^31|256:1`],
    ["an unknown field", `1 X inline:${KEY}|2^31|1:1|more`],
    ["fields in the wrong order", `1 X inline:${KEY}|1:1|2^31`],
    ["no tag", `X inline:${KEY}`],
  ])("%s makes the line unreadable", ([, text = ""]) => {
    expect(parseCryptoLine(text)).toBeUndefined();
  });

  test("an unknown suite or a parameter that changes the packets makes a line unusable", () => {
    expect(usable("|2^31")).toBe(true);
    expect(usable(" WSH=128")).toBe(true);
    expect(usable(" UNENCRYPTED_SRTP")).toBe(false);
    expect(usable(" KDR=3")).toBe(false);
    expect(usable("", "AES_CM_128_HMAC_SHA1_32")).toBe(false);
    expect(usable("", "F8_128_HMAC_SHA1_80")).toBe(false);
  });
});

function usable(rest: string, suite = "AES_CM_128_HMAC_SHA1_80"): boolean {
  const line = parseCryptoLine(`1 ${suite} inline:${KEY}${rest}`);
  return line !== undefined && isUsable(line, ["AES_CM_128_HMAC_SHA1_80"]);
}

function refusalOf(attempt: () => unknown): unknown {
  try {
    attempt();
  } catch (error) {
    return error;
  }
  return undefined;
}
