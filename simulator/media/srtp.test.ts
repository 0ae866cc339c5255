import { createCipheriv, createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { AesCounter } from "./aes.ts";
import { formatRtp } from "./rtp.ts";
import { HmacSha1 } from "./sha1.ts";
import { deriveKeys, SrtpContext } from "./srtp.ts";

const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));
const toHex = (octets: Uint8Array) => Buffer.from(octets).toString("hex");

const master = hex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
const suite = "AES_CM_128_HMAC_SHA1_80";
const keyed = (value: bigint) => new SrtpContext({ key: master, suite, mki: { value, length: 2 } });
const context = () => new SrtpContext({ key: master, suite });

function packet(sequence: number, ssrc = 0xcafebabe): Uint8Array {
  const payload = new Uint8Array(160).fill(sequence & 0xff);
  const numbers = { sequence: sequence & 0xffff, timestamp: (sequence * 160) >>> 0, ssrc };
  return formatRtp({ payloadType: 0, marker: false, payload, ...numbers });
}

describe("primitives", () => {
  test("AES-128 encrypts the example of FIPS 197 C.1", () => {
    const block = new Uint8Array(16);
    const cipher = new AesCounter(hex("000102030405060708090a0b0c0d0e0f"));
    cipher.apply(hex("00112233445566778899aabbccddeeff"), block);
    expect(toHex(block)).toBe("69c4e0d86a7b0430d8cdb78070b4c55a");
  });

  test("counter mode gives the key stream of RFC 3711 B.2", () => {
    const stream = new Uint8Array(48);
    const cipher = new AesCounter(hex("2b7e151628aed2a6abf7158809cf4f3c"));
    cipher.apply(hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000"), stream);
    expect(toHex(stream)).toBe(
      "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab" +
        "41e95b3bb0a2e8dd477901e4fca894c0",
    );
  });

  test("counter mode agrees with OpenSSL for every length up to 200 octets", () => {
    const key = hex("000102030405060708090a0b0c0d0e0f");
    const counter = hex("a0a1a2a3a4a5a6a7a8a9aaabacad0000");
    for (let length = 0; length <= 200; length++) {
      const data = new Uint8Array(length).fill(length);
      const expected = createCipheriv("aes-128-ctr", key, counter).update(data);
      new AesCounter(key).apply(counter, data);
      expect(toHex(data)).toBe(expected.toString("hex"));
    }
  });

  test("HMAC-SHA1 agrees with OpenSSL for every length up to 300 octets, with and without a word", () => {
    const key = hex("cebe321f6ff7716b6fd4ab49af256a156d38baa4");
    const hmac = new HmacSha1(key);
    const word = Buffer.from("01020304", "hex");
    for (let length = 0; length <= 300; length++) {
      const data = Buffer.alloc(length, length);
      const plain = createHmac("sha1", key).update(data).digest("hex");
      const worded = createHmac("sha1", key).update(data).update(word).digest("hex");
      expect(toHex(hmac.sign(data, length))).toBe(plain);
      expect(toHex(hmac.sign(data, length, 0x01020304))).toBe(worded);
    }
  });

  test("session keys derive as in RFC 3711 B.3", () => {
    const { cipher, salt, auth } = deriveKeys(master, "rtp");
    expect(toHex(cipher)).toBe("c61e7a93744f39ee10734afe3ff7a087");
    expect(toHex(salt)).toBe("30cbbc08863d8c85d49db34a9ae1");
    expect(toHex(auth)).toBe("cebe321f6ff7716b6fd4ab49af256a156d38baa4");
  });
});

describe("packets", () => {
  const plain = hex("800f1234decafbadcafebabe abababababababababababababababab");
  const secret = hex(
    "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb",
  );

  test("libsrtp's reference packet is produced and understood", () => {
    expect(toHex(context().protect(plain))).toBe(toHex(secret));
    expect(context().unprotect(secret)).toEqual({ datagram: plain });
  });

  test("libsrtp's reference report is understood", () => {
    const report = hex("81c8000bcafebabe abababababababababababababababab");
    const encrypted = hex(
      "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798",
    );
    expect(context().unprotectReport(encrypted)).toEqual({ datagram: report });
  });

  test("a report survives the round trip, is numbered, and is refused a second time", () => {
    const [sender, receiver] = [context(), context()];
    const report = hex("80c90001cafebabe 81ca0002cafebabe 01020304");
    const first = sender.protectReport(report);
    const second = sender.protectReport(report);
    expect(toHex(first)).not.toBe(toHex(second));
    expect(receiver.unprotectReport(first)).toEqual({ datagram: report });
    expect(receiver.unprotectReport(second)).toEqual({ datagram: report });
    expect(receiver.unprotectReport(first)).toEqual({ rejected: "replayed" });
    first.set([0], 20);
    expect(context().unprotectReport(first)).toEqual({ rejected: "authentication" });
    expect(context().unprotectReport(first.subarray(0, 20))).toEqual({ rejected: "malformed" });
  });

  test("the short suite puts four octets behind the packet", () => {
    const options = { key: master, suite: "AES_CM_128_HMAC_SHA1_32" };
    const protectedPacket = new SrtpContext(options).protect(plain);
    expect(toHex(protectedPacket)).toBe(toHex(secret.subarray(0, 32)));
    expect(new SrtpContext(options).unprotect(protectedPacket)).toEqual({ datagram: plain });
  });

  test("a master key identifier stands before the tag and must be the agreed one", () => {
    const protectedPacket = keyed(0x1234n).protect(plain);
    expect(toHex(protectedPacket)).toBe(
      `${toHex(secret.subarray(0, 28))}1234${toHex(secret.subarray(28))}`,
    );
    expect(keyed(0x1234n).unprotect(protectedPacket)).toEqual({ datagram: plain });
    expect(keyed(0x1235n).unprotect(protectedPacket)).toEqual({ rejected: "authentication" });
  });

  test("each changed octet of a packet is noticed", () => {
    for (let index = 1; index < secret.length; index++) {
      const changed = secret.slice();
      changed[index] = (changed[index] ?? 0) ^ 0x01;
      expect(context().unprotect(changed)).toEqual({ rejected: "authentication" });
    }
  });

  test("datagrams too short or not RTP are malformed", () => {
    expect(context().unprotect(secret.subarray(0, 21))).toEqual({ rejected: "malformed" });
    expect(context().unprotect(new Uint8Array(60))).toEqual({ rejected: "malformed" });
    expect(() => context().protect(new Uint8Array(60))).toThrow("expected an RTP packet");
  });
});

describe("packet indices", () => {
  test("300 packets lost around the wrap of the sequence number do not lose the others", () => {
    const [sender, receiver] = [context(), context()];
    let understood = 0;
    for (let sequence = 65_000; sequence < 67_000; sequence++) {
      const secret = sender.protect(packet(sequence));
      if (sequence >= 65_400 && sequence < 65_700) continue;
      if (receiver.unprotect(secret).rejected === undefined) understood += 1;
    }
    expect(understood).toBe(1_700);
  });

  test("packets reordered across the wrap are understood", () => {
    const [sender, receiver] = [context(), context()];
    const secrets = [65_534, 65_535, 65_536, 65_537].map((n) => sender.protect(packet(n)));
    const order = [0, 2, 1, 3].map((index) => receiver.unprotect(secrets[index] ?? plainless));
    expect(order.map(({ rejected }) => rejected)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  test("three wraps in a row are followed", () => {
    const [sender, receiver] = [context(), context()];
    let rejected = 0;
    for (let sequence = 0; sequence < 200_000; sequence += 50) {
      if (receiver.unprotect(sender.protect(packet(sequence))).rejected) rejected += 1;
    }
    expect(rejected).toBe(0);
  });

  test("a replay is refused within the window of 64 and behind it", () => {
    const [sender, receiver] = [context(), context()];
    const secrets = Array.from({ length: 100 }, (_, n) => sender.protect(packet(n)));
    for (const [index, secret] of secrets.entries()) {
      if (index !== 70 && index !== 10) receiver.unprotect(secret);
    }
    const outcomes = [99, 71, 70, 70, 10].map((n) => receiver.unprotect(secrets[n] ?? plainless));
    expect(outcomes.map(({ rejected }) => rejected)).toEqual([
      "replayed",
      "replayed",
      undefined,
      "replayed",
      "replayed",
    ]);
  });

  test("a forged packet far ahead does not move the window", () => {
    const [sender, receiver] = [context(), context()];
    receiver.unprotect(sender.protect(packet(1)));
    const forged = packet(30_000);
    expect(receiver.unprotect(forged)).toEqual({ rejected: "authentication" });
    expect(receiver.unprotect(sender.protect(packet(2))).rejected).toBeUndefined();
  });

  test("each source has its own indices", () => {
    const [sender, receiver] = [context(), context()];
    const secrets = [packet(5, 1), packet(5, 2)].map((one) => sender.protect(one));
    expect(secrets.map((secret) => receiver.unprotect(secret).rejected)).toEqual([
      undefined,
      undefined,
    ]);
  });
});

const plainless = new Uint8Array(0);
