import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openFolder, slug } from "./folder.ts";

function parent(): string {
  const folder = mkdtempSync(join(tmpdir(), "linecheck-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("a short title is its folder's name", () => {
  expect(slug("A caller's “context”, byte for byte")).toBe("a-caller-s-context-byte-for-byte");
});

test("titles that a name cannot tell apart have folders of their own", () => {
  const long = "a".repeat(70);
  const names = [`${long}b`, `${long}c`, "日本", "한국"].map(slug);
  expect(new Set(names).size).toBe(4);
  for (const name of names) expect(name).toMatch(/^[a-z\d][a-z\d-]*$/);
});

test("an earlier run's files go, a stranger's stay", () => {
  const out = parent();
  const folder = openFolder(out, "a call");
  for (const name of ["human.wav", "ladder.txt", "trace.jsonl", "notes.md"]) {
    writeFileSync(join(folder, name), "x");
  }
  expect(openFolder(out, "a call")).toBe(folder);
  expect(readdirSync(folder)).toEqual(["notes.md"]);
});

test("a repeated run has a folder of its own", () => {
  const out = parent();
  expect(basename(openFolder(out, "a call", 1))).toBe("a-call-run-2");
});
