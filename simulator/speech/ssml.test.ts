import { expect, test } from "vitest";
import { parseSsml } from "./ssml.ts";

const speaks = (content: string) => `<speak version='1.0' xml:lang='en-US'>${content}</speak>`;
const speak = (content: string) => parseSsml(speaks(content));

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
  ["<prosody rate='constructor'>x</prosody>", 'a factor, got "constructor"'],
  ["</speak>", "expected </>, got </speak>"],
  ["Tom & Jerry", 'stray "&"'],
  ["a&nbsp;b", 'unknown entity "&nbsp;"'],
  ["&constructor;", 'unknown entity "&constructor;"'],
  ["&#0;", 'unknown entity "&#0;"'],
  ["&#xD800;", 'unknown entity "&#xD800;"'],
  ["<voice name='Tom & Jerry'>x</voice>", 'stray "&"'],
  ["<voice name='<a>'>x</voice>", 'unexpected "<" at character 38'],
  ["<voice name='a' name='b'>x</voice>", '"name" twice in <voice>'],
])("%s is refused", (content, message) => {
  expect(() => speak(content)).toThrow(message);
});

test.each([
  ["", "expected a <speak> element"],
  ["just text", 'expected a <speak> element, got "just text"'],
  ["<p>x</p>", "expected a <speak> element, got <p>"],
  ["<speak>x</speak> y", 'expected nothing but <speak>, got "y"'],
  ["<![CDATA[y]]><speak>x</speak>", 'expected a <speak> element, got "y"'],
  ["<speak>x</speak><speak>y</speak>", "expected nothing but <speak>, got <speak>"],
])("a document is one speak element, not %j", (document, message) => {
  expect(() => parseSsml(document)).toThrow(message);
});

test("a declaration and comments may stand before and after it", () => {
  const document = "\uFEFF<?xml version='1.0'?>\n<!-- a -->\n<speak>x</speak>\n<!-- b & c -->\n";
  expect(parseSsml(document)).toEqual([{ kind: "speech", text: "x", rate: 1 }]);
});

test("an unknown strength of a break is the default one, whatever its name", () => {
  expect(speak("<break strength='constructor'/>")).toEqual([{ kind: "silence", durationMs: 750 }]);
});

test("a deep document is refused rather than followed", () => {
  expect(() => speak("<p>".repeat(40))).toThrow("nested deeper than 32");
});

const bytes = (count: number) => "é".repeat(count / 2);

test("a document of more bytes than the service takes is refused", () => {
  const around = speaks("").length;
  expect(() => speak(`<!--${bytes(65_536 - around - 7)}-->`)).not.toThrow();
  expect(() => speak(`<!--${bytes(65_536 - around - 5)}-->`)).toThrow(
    "message size cannot exceed 65536 bytes",
  );
});

test("no more text is spoken of a document than of a text stream", () => {
  expect(speak("a".repeat(20_000))).toHaveLength(1);
  const halves = `<voice name='b'>${"a".repeat(10_000)}</voice>`.repeat(2);
  expect(() => speak(`${halves}a`)).toThrow("text of more than 20000 characters");
});

test("the silence of a document is no longer than the audio of a request may be", () => {
  expect(speak("<break time='20s'/>".repeat(30))).toHaveLength(30);
  expect(() => speak(`${"<break time='20s'/>".repeat(30)}<break time='1ms'/>`)).toThrow(
    "silence of more than 600000 ms",
  );
});
