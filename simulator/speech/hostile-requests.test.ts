import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { speechLab } from "./testing/speech-lab.ts";

const lab = speechLab({ texts: [] });

/** Everything that the service answers to these bytes until it closes the connection. */
async function exchange(request: string): Promise<string> {
  const { hostname, port } = new URL(lab.speech.url);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  socket.write(request);
  return text(socket);
}

const UPGRADE = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
].join("\r\n");

test.each([
  ["request", "//", "Connection: close"],
  ["request", "http://[", "Connection: close"],
  ["upgrade", "//", UPGRADE],
  ["upgrade", "http://[", UPGRADE],
])("a %s for %s is a bad one, and the next is served", async (_, target, headers) => {
  const answer = await exchange(`GET ${target} HTTP/1.1\r\nHost: speech\r\n${headers}\r\n\r\n`);
  expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  expect(lab.trace.events.findLast(({ type }) => type === "http")).toMatchObject({
    target,
    status: 400,
  });
  expect((await fetch(`${lab.speech.url}/nothing`)).status).toBe(404);
});
