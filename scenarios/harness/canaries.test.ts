import { mkdirSync, mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { filesWith, secretsOf } from "./canaries.ts";

test("keys, secrets and the access key of a connection string are secrets", () => {
  const secrets = secretsOf({
    ACS_CONNECTION_STRING: "endpoint=http://127.0.0.1:1/;accesskey=a+b=",
    SPEECH_KEY: "speech",
    EVENT_GRID_SECRET: "grid",
    SPEECH_VOICE: "en-US-AvaNeural",
  });
  expect(new Set(secrets)).toEqual(new Set(["a+b=", "a%2Bb%3D", "speech", "grid"]));
});

test("a text is found in whatever file it stands, below the folder too", () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), "linecheck-canaries-"));
  mkdirSync(join(folder.path, "below"));
  const found = join(folder.path, "below", "audio.wav");
  writeFileSync(found, Buffer.concat([Buffer.from([0, 255]), Buffer.from("canary")]));
  writeFileSync(join(folder.path, "other.txt"), "nothing");
  expect(filesWith(folder.path, ["canary"])).toEqual([found]);
  expect(filesWith(folder.path, ["missing"])).toEqual([]);
});
