import { expect, test } from "vitest";
import { parseSsml } from "./ssml.ts";

const speak = (content: string) =>
  parseSsml(`<speak version='1.0' xml:lang='en-US'>${content}</speak>`);

test("what the Speech SDK wraps around plain text is read back", () => {
  expect(
    speak("<voice name='en-US-AvaNeural'>Bed &amp; &quot;breakfast&quot; &#65;&#x42;</voice>"),
  ).toEqual([{ kind: "speech", text: 'Bed & "breakfast" AB', voice: "en-US-AvaNeural", rate: 1 }]);
});

test("rates multiply, and unknown elements are transparent", () => {
  const content =
    "<prosody rate='+50%'>a <mstts:express-as style='sad'>b</mstts:express-as><prosody rate='0.8'>c</prosody></prosody>";
  expect(speak(content)).toEqual([
    { kind: "speech", text: "a b", rate: 1.5 },
    { kind: "speech", text: "c", rate: 1.5 * 0.8 },
  ]);
});

test.each([
  ["<break/>", 750],
  ["<break strength='strong'/>", 1000],
  ["<break time='250ms'/>", 250],
  ["<break time='1.5s'/>", 1500],
  ["<break time='3600s'/>", 20_000],
])("%s is %d ms of silence", (content, durationMs) => {
  expect(speak(content)).toEqual([{ kind: "silence", durationMs }]);
});

test("digits are read one by one", () => {
  expect(speak("<say-as interpret-as='digits'>42-17</say-as>")).toEqual([
    { kind: "speech", text: "4 2 1 7", rate: 1 },
  ]);
});

test.each([
  ["<voice name='a'>x", "expected </voice>, got </speak>"],
  ["a < b", 'unexpected "<" at character 40'],
  ["<voice>x</voice>", '<voice> without "name"'],
  ["<break time='soon'/>", 'break time: expected "500ms" or "1s", got "soon"'],
  [
    "<prosody rate='very'>x</prosody>",
    'prosody rate: expected a name, a percentage or a factor, got "very"',
  ],
  ["</speak>", "expected </>, got </speak>"],
])("%s is refused", (content, message) => {
  expect(() => speak(content)).toThrow(message);
});

test("a document without speak is refused", () => {
  expect(() => parseSsml("just text")).toThrow("expected a <speak> element");
});

test("a deep document is refused rather than followed", () => {
  expect(() => speak("<p>".repeat(40))).toThrow("nested deeper than 32");
});
