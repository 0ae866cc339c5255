import { describe, expect, test } from "vitest";
import { checkDigits, KeyReader, parseTelephoneEvent, pressKey } from "./dtmf.ts";

const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

function eventPacket(timestamp: number, payload: string, marker = false) {
  return { payloadType: 101, marker, sequence: 0, timestamp, ssrc: 1, payload: hex(payload) };
}

describe("a pressed key", () => {
  test("is one packet per frame, the last of them three times", () => {
    const frames = [...pressKey("#", 100)];
    const payloads = frames.map((packets) =>
      packets.map(({ payload }) => Buffer.from(payload).toString("hex")),
    );
    expect(payloads).toEqual([
      ["0b0a00a0"],
      ["0b0a0140"],
      ["0b0a01e0"],
      ["0b0a0280"],
      ["0b8a0320", "0b8a0320", "0b8a0320"],
    ]);
    expect(frames.flat().map(({ marker }) => marker)).toEqual([
      true,
      ...Array.from({ length: 6 }, () => false),
    ]);
    expect(frames.map(([packet]) => packet?.offset)).toEqual([0, 160, 320, 480, 640]);
  });

  test("lasts at least one frame, and not longer than its duration field can say", () => {
    expect([...pressKey("1", 1)].length).toBe(1);
    const last = [...pressKey("1", 60_000)].at(-1)?.[0];
    expect(last && parseTelephoneEvent(last.payload)?.duration).toBe(0xffff);
  });

  test("has to be on a telephone", () => {
    expect(() => checkDigits("0123456789*#abcD")).not.toThrow();
    expect(() => checkDigits("12x")).toThrow('expected 0-9 * # A-D, got "x"');
  });
});

describe("a heard key", () => {
  const press = [
    eventPacket(1_600, "050a00a0", true),
    eventPacket(1_600, "050a0140"),
    eventPacket(1_600, "058a01e0"),
    eventPacket(1_600, "058a01e0"),
    eventPacket(1_600, "058a01e0"),
  ];

  test("counts once whatever the number of packets", () => {
    const reader = new KeyReader();
    expect(press.map((packet) => reader.read(packet))).toEqual([
      "5",
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  test("counts when only its last packet arrives", () => {
    expect(press.slice(-1).map((packet) => new KeyReader().read(packet))).toEqual(["5"]);
  });

  test("counts twice when it is pressed twice", () => {
    const reader = new KeyReader();
    const again = press.map((packet) => ({ ...packet, timestamp: packet.timestamp + 1_280 }));
    const keys = [...press, ...again].map((packet) => reader.read(packet));
    expect(keys.filter((key) => key !== undefined)).toEqual(["5", "5"]);
  });

  test("is not counted again by a straggler of the press before", () => {
    const reader = new KeyReader();
    const next = eventPacket(2_880, "010a00a0", true);
    expect([press[0], next, press[1]].map((packet) => packet && reader.read(packet))).toEqual([
      "5",
      "1",
      undefined,
    ]);
  });

  test("goes on beyond eight seconds in a new segment", () => {
    const reader = new KeyReader();
    const packets = [
      eventPacket(0, "050a00a0", true),
      eventPacket(0, "050affff"),
      eventPacket(0xffff, "050a00a0"),
      eventPacket(0xffff, "058a0140"),
    ];
    expect(packets.map((packet) => reader.read(packet))).toEqual([
      "5",
      undefined,
      undefined,
      undefined,
    ]);
  });

  test("survives the wrap of the timestamp", () => {
    const reader = new KeyReader();
    expect(reader.read(eventPacket(0xffff_ff00, "010a00a0", true))).toBe("1");
    expect(reader.read(eventPacket(0x0000_0400, "020a00a0", true))).toBe("2");
  });

  test("counts when the source's clock began anew", () => {
    const reader = new KeyReader();
    expect(reader.read(eventPacket(900_000, "010a00a0", true))).toBe("1");
    expect(reader.read(eventPacket(160, "010a00a0", true))).toBe("1");
  });

  test("is none when the event is no key or the payload is cut", () => {
    expect(new KeyReader().read(eventPacket(1, "100a00a0", true))).toBeUndefined();
    expect(new KeyReader().read(eventPacket(1, "050a00", true))).toBeUndefined();
  });
});
