import { expect, test } from "vitest";
import { Negotiation } from "./negotiation.ts";
import { Receiver } from "./receiver.ts";
import { Recorder } from "./recording.ts";

function receiver() {
  const keys: string[] = [];
  const heard = new Recorder();
  const one = new Receiver({ jitterMs: 60, heard, onKey: (key) => keys.push(key) });
  const { negotiated } = new Negotiation({
    address: { host: "127.0.0.1", port: 4_000 },
    codecs: ["PCMU", "PCMA"],
    srtp: "off",
    suites: [],
    style: {},
    random: (length) => new Uint8Array(length),
  }).answer(
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" +
      "m=audio 5004 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n",
    "sendrecv",
  );
  one.configure(negotiated);
  return { one, keys, heard, negotiated };
}

const audio = (sequence: number, ssrc = 1, payloadType = 0) => ({
  payloadType,
  marker: false,
  sequence,
  timestamp: sequence * 160,
  ssrc,
  payload: new Uint8Array(160).fill(0x80),
});

const key = (timestamp: number, sequence: number, ssrc = 1) => ({
  payloadType: 101,
  marker: true,
  sequence,
  timestamp,
  ssrc,
  payload: Uint8Array.of(5, 0x8a, 0x03, 0x20),
});

test("before anything is agreed there are no frames and no listening", () => {
  const one = new Receiver({ jitterMs: 60, heard: new Recorder(), onKey: () => {} });
  expect(one.tick(0)).toBeUndefined();
  expect(one.receive(audio(1), 0)).toBeUndefined();
  expect(one.report()).toBeUndefined();
});

test("frames come from the agreement on, silent until audio does, and are recorded", () => {
  const { one, heard } = receiver();
  expect(one.tick(0)?.samples.every((sample) => sample === 0)).toBe(true);
  expect(one.receive(audio(1), 0)).toBe("PCMU");
  const frames = [20, 40, 60].map((atMs) => one.tick(atMs));
  expect(frames.map((frame) => frame?.samples[0])).toEqual([0, 0, 32_124]);
  expect(frames.map((frame) => frame?.atMs)).toEqual([20, 40, 60]);
  expect(heard.durationMs).toBe(80);
});

test("either law is understood whatever was agreed on", () => {
  expect(receiver().one.receive(audio(1, 1, 8), 0)).toBe("PCMA");
});

test("a new source starts a new stream, and its keys count though its clock is behind", () => {
  const { one, keys } = receiver();
  one.receive(key(1_000_000, 1), 0);
  one.receive(key(999_000, 50, 2), 20);
  expect(keys).toEqual(["5", "5"]);
});

test("a payload type that was not agreed on is not heard, and is no loss", () => {
  const { one } = receiver();
  one.receive(audio(1), 0);
  expect(one.receive(audio(2, 1, 13), 20)).toBeUndefined();
  one.receive(audio(3), 40);
  expect(one.receive(audio(900, 7, 96), 60)).toBeUndefined();
  expect(one.statistics()).toMatchObject({ packets: 3, lost: 0, rejected: { unexpected: 2 } });
});

test("nothing is heard on hold", () => {
  const { one, negotiated } = receiver();
  one.configure({ ...negotiated, direction: "inactive" });
  expect(one.receive(audio(1), 0)).toBeUndefined();
  expect(one.statistics()).toMatchObject({ packets: 0, rejected: { unexpected: 1 } });
});

test("a report tells the loss since the last one and altogether", () => {
  const { one } = receiver();
  for (const sequence of [0, 1, 2, 3, 5, 6, 7]) one.receive(audio(sequence), sequence * 20);
  expect(one.report()).toMatchObject({ ssrc: 1, fractionLost: 32, lost: 1 });
  for (const sequence of [8, 9]) one.receive(audio(sequence), sequence * 20);
  expect(one.report()).toMatchObject({ fractionLost: 0, lost: 1 });
});
