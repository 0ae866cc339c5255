import { expect, test } from "vitest";
import { SpokenItems } from "./realtime-spoken.ts";
import { playedLine } from "./testing/played-line.ts";

const BYTES_PER_MS = 48;

function speak() {
  const { line, media } = playedLine();
  return { media: line, spoken: new SpokenItems(media) };
}

/** Sound at half of full scale, or silence. */
function sound(durationMs: number, level = 16_000): Buffer {
  const samples = new Int16Array((durationMs * BYTES_PER_MS) / 2).fill(level);
  return Buffer.from(samples.buffer);
}

const WORDS = ["one ", "two ", "six ", "ten "];
const WORD_MS = 300;

/** Four words of 300 ms each, every word told when its audio begins, or all of them before. */
function say(spoken: SpokenItems, { ahead }: { ahead: boolean }): void {
  if (ahead) for (const word of WORDS) spoken.tell("a", word);
  for (const word of WORDS) {
    if (!ahead) spoken.tell("a", word);
    spoken.play("a", sound(WORD_MS));
  }
}

test.each([{ ahead: true }, { ahead: false }])(
  "a cut anywhere keeps the words heard and none that was not (words ahead: $ahead)",
  ({ ahead }) => {
    for (let playedMs = 0; playedMs <= WORDS.length * WORD_MS; playedMs += 40) {
      const { media, spoken } = speak();
      say(spoken, { ahead });
      spoken.complete();
      media.playedMs = playedMs;
      const [cut] = spoken.cut();
      const begun = Math.ceil(playedMs / WORD_MS);
      const count = (cut?.text ?? "").split(" ").filter((word) => word !== "").length;
      expect(WORDS.join("").startsWith(cut?.text ?? "")).toBe(true);
      expect(count).toBeLessThanOrEqual(begun);
      expect(count).toBeGreaterThanOrEqual(begun - 2);
      expect(cut?.heardMs).toBe(playedMs);
    }
  },
);

test("words that are far ahead of the audio are not taken for heard", () => {
  const { media, spoken } = speak();
  spoken.tell("a", "a sentence of which hardly anything has been made into audio so far");
  spoken.play("a", sound(300));
  media.playedMs = 280;
  expect(spoken.cut()[0]?.text.split(" ").length).toBeLessThanOrEqual(1);
});

test("pauses are no words", () => {
  const { media, spoken } = speak();
  spoken.tell("a", WORDS.join(""));
  spoken.play("a", sound(800));
  spoken.play("a", sound(1600, 0));
  spoken.play("a", sound(800));
  spoken.complete();
  media.playedMs = 2380;
  expect(spoken.cut()[0]?.text).toBe("one");
});

test("items are taken one after another, each when its own end was heard", () => {
  const { media, spoken } = speak();
  for (const id of ["a", "b"]) {
    spoken.tell(id, `item ${id}`);
    spoken.play(id, sound(500));
  }
  spoken.complete();
  media.playedMs = 499;
  expect(spoken.takeHeard()).toEqual([]);
  media.playedMs = 500;
  expect(spoken.takeHeard()).toEqual(["item a"]);
  media.playedMs = 600;
  expect(spoken.cut()).toMatchObject([{ id: "b", heardMs: 100 }]);
  expect(spoken.takeHeard()).toEqual([]);
});

test("what arrives of an item after it was cut is not played", () => {
  const { media, spoken } = speak();
  spoken.play("a", sound(100));
  spoken.cut();
  spoken.play("a", sound(100));
  spoken.tell("a", "late");
  expect(media.writtenMs).toBe(100);
  expect(spoken.cut()).toEqual([]);
});
