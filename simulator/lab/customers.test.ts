import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readCustomers } from "./customers.ts";

function fileWith(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "linecheck-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "customers.json");
  writeFileSync(file, text);
  return file;
}

test("customers are read with their ids and numbers", () => {
  const file = fileWith('[{"id":"C-1","phoneNumber":"+14255550100","name":"Dana"}]');
  expect(readCustomers(file)).toMatchObject([{ id: "C-1", phoneNumber: "+14255550100" }]);
});

test.each(["{}", '[{"id":1,"phoneNumber":"+1"}]', '[{"id":"C-1"}]', "[null]"])(
  "%s is refused with the file's name",
  (text) => {
    expect(() => readCustomers(fileWith(text))).toThrow(/customers\.json: expected a list/);
  },
);
