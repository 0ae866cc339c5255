import { expect, test } from "vitest";
import { SampleQueue } from "./sample-queue.ts";
import { encodePcm, parseStreamMessage } from "./stream-message.ts";

test.each([
  [
    "the JavaScript SDK",
    '{"kind":"audioData","audioData":{"data":"AQACAA==","isSilent":false},"stopAudio":{}}',
  ],
  [".NET and Python", '{"Kind":"AudioData","AudioData":{"Data":"AQACAA=="},"StopAudio":null}'],
  ["nobody in particular", '{"KIND":"AUDIODATA","AUDIODATA":{"DATA":"AQACAA=="}}'],
])("audio as %s writes it is two samples", (_who, text) => {
  expect(parseStreamMessage(text)).toEqual({ kind: "audio", samples: new Int16Array([1, 2]) });
});

test("kind alone decides what a message is", () => {
  expect(
    parseStreamMessage('{"kind":"stopAudio","stopAudio":{},"audioData":{"data":"AQA="}}'),
  ).toEqual({
    kind: "stop",
  });
  expect(parseStreamMessage('{"kind":"mark"}')).toEqual({ kind: "unknown", name: "mark" });
});

test.each([
  ["", "not a JSON object"],
  ["[]", "not a JSON object"],
  ["{}", "kind is missing"],
  ['{"kind":1}', "kind is missing"],
  ['{"kind":"audioData"}', "audioData.data is missing"],
  ['{"kind":"audioData","audioData":{"data":"a b"}}', "data is not base64"],
  ['{"kind":"audioData","audioData":{"data":"AQ=="}}', "PCM of an odd number of bytes"],
])("%s is invalid: %s", (text, why) => {
  expect(parseStreamMessage(text)).toEqual({ kind: "invalid", why });
});

test("PCM is little-endian, also from the middle of a buffer", () => {
  expect(encodePcm(new Int16Array([9, 1, 2]).subarray(1))).toBe("AQACAA==");
});

test("a sample queue gives out what was put in, in pieces of any size", () => {
  const queue = new SampleQueue();
  queue.push(new Int16Array([1, 2, 3]));
  queue.push(new Int16Array([]));
  queue.push(new Int16Array([4, 5]));
  expect([...queue.shift(2)]).toEqual([1, 2]);
  expect([...queue.shift(2)]).toEqual([3, 4]);
  expect(queue.length).toBe(1);
  expect([...queue.shift(9)]).toEqual([5]);
  expect([...queue.shift(1)]).toEqual([]);
  queue.push(new Int16Array(7));
  expect([queue.clear(), queue.length]).toEqual([7, 0]);
});
