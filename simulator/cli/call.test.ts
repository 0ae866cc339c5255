import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { call } from "./call.ts";

/** Sends the pieces one by one, so that each is a chunk of its own. */
async function answer(
  response: ServerResponse,
  status: number,
  pieces: readonly Uint8Array[],
): Promise<void> {
  response.writeHead(status);
  for (const piece of pieces) {
    await new Promise<void>((resolve) => {
      response.write(piece, () => setImmediate(resolve));
    });
  }
  response.end();
}

/** A folder in which a lab has left its state; the lab answers with these pieces. */
async function labThatAnswers(status: number, pieces: readonly Uint8Array[]): Promise<string> {
  const server = createServer((request, response) => {
    request.resume().once("end", () => void answer(response, status, pieces));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  // A server that listens on a port always has this form of address.
  const { port } = server.address() as AddressInfo;
  const folder = mkdtempSync(join(tmpdir(), "linecheck-"));
  writeFileSync(join(folder, "lab.json"), `{"url":"http://127.0.0.1:${port}","token":"t"}`);
  onTestFinished(async () => {
    rmSync(folder, { recursive: true });
    server.closeAllConnections();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  });
  return folder;
}

function printed(): () => string {
  const write = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  onTestFinished(() => write.mockRestore());
  return () => write.mock.calls.map(([text]) => String(text)).join("");
}

test("news are printed line by line, wherever the network cuts them", async () => {
  const text = '{"kind":"heard","text":"Grüße"}\n{"kind":"ended","reason":"time is up"}\n';
  const bytes = Buffer.from(text);
  const cut = bytes.indexOf(Buffer.from("ü")) + 1;
  const out = await labThatAnswers(200, [bytes.subarray(0, cut), bytes.subarray(cut)]);
  const output = printed();
  expect(await call(["--out", out])).toBe(0);
  expect(output()).toBe("heard      Grüße\nended      time is up\n");
});

test("a call that failed has a failing exit code", async () => {
  const out = await labThatAnswers(200, [Buffer.from('{"kind":"failed","reason":"busy"}\n')]);
  const output = printed();
  expect(await call(["--out", out])).toBe(1);
  expect(output()).toContain("busy");
});

test("a state that another lab left behind is told as such", async () => {
  const out = await labThatAnswers(401, []);
  await expect(call(["--out", out])).rejects.toThrow("is not this lab: it answers 401");
  writeFileSync(join(out, "lab.json"), '{"url":"http://127.0.0.1:1","token":"t"}');
  await expect(call(["--out", out])).rejects.toThrow("no lab is up: nothing answers");
});

test.each([
  [["12"], "the number to call: expected E.164"],
  [["--from", "me"], "--from: expected E.164"],
  [["--press", "x"], "--press: expected keys"],
  [["--wav", "none.wav"], "--wav: no such .wav file"],
  [["--out", "/nowhere"], "no lab is up"],
])("%j is refused", async (args, message) => {
  await expect(call(args)).rejects.toMatchObject({
    code: "USAGE",
    message: expect.stringContaining(message),
  });
});
