import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseWav, readWav, toWavBuffer, writeWav } from "./wav.ts";

const audio = { samples: Int16Array.of(0, 1, -1, 32_767, -32_768), rateHz: 16_000 };

test("a mono file has the 44-octet header every player knows", () => {
  const file = toWavBuffer({ samples: Int16Array.of(1, -2), rateHz: 8_000 });
  expect(file.toString("hex")).toBe(
    "524946462800000057415645666d7420100000000100010040" +
      "1f0000803e000002001000646174610400000001 00feff".replaceAll(" ", ""),
  );
});

test("a file on disk comes back sample for sample", async () => {
  const folder = await mkdtemp(join(tmpdir(), "wav-"));
  try {
    const path = join(folder, "hello.wav");
    await writeWav(path, audio);
    expect(await readWav(path)).toEqual(audio);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("two channels stand side by side, the shorter one padded", () => {
  const left = { samples: Int16Array.of(1, 2, 3), rateHz: 8_000 };
  const right = { samples: Int16Array.of(9), rateHz: 8_000 };
  const data = toWavBuffer({ left, right }).subarray(44).toString("hex");
  expect(data).toBe("010009000200000003000000");
  expect(() => toWavBuffer({ left, right: audio })).toThrow("got 8000 and 16000 Hz");
});

test("several channels are averaged on reading", () => {
  const left = { samples: Int16Array.of(100, 200), rateHz: 8_000 };
  const right = { samples: Int16Array.of(300, -200), rateHz: 8_000 };
  expect(parseWav(toWavBuffer({ left, right })).samples).toEqual(Int16Array.of(200, 0));
});

test("a mu-law file is decoded", () => {
  const header =
    "524946462a00000057415645666d74201200000007000100401f0000401f0000010008000000" +
    "6461746104000000";
  const { samples, rateHz } = parseWav(Buffer.from(`${header}ff80007f`, "hex"));
  expect(rateHz).toBe(8_000);
  expect([...samples]).toEqual([0, 32_124, -32_124, 0]);
});

test("what is not a WAV file is named", async () => {
  await expect(readWav(Buffer.from("OggS…"))).rejects.toThrow(
    "WAV data: expected a RIFF WAVE file",
  );
  const eightBit =
    "524946462600000057415645666d74201000000001000100401f0000401f00000100080064617461020000008080";
  expect(() => parseWav(Buffer.from(eightBit, "hex"), "old.wav")).toThrow(
    "old.wav: expected 16-bit linear or G.711, got 8 bits",
  );
});
