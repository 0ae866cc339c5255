import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { manualClock } from "../clock.ts";
import { type Control, type ControlConnection, startControl } from "./control.ts";

async function openControl(limits = {}) {
  const clock = manualClock();
  const seen: string[] = [];
  const connections: ControlConnection[] = [];
  const control = await startControl({
    clock,
    host: "127.0.0.1",
    port: 0,
    secret: "cymru",
    limits,
    ids: () => "d",
    welcome: () => ["udp/127.0.0.1:5060", "v0.9.10", "udp/127.0.0.1:5060"],
    onRoute: (connection, verb) => {
      connections.push(connection);
      seen.push(`route ${verb}`);
    },
    onRemoveRoute: (_, verb) => seen.push(`remove ${verb}`),
    onSip: (_, { tokens, message }) => seen.push(`sip ${tokens.join("|")} ${message.toString()}`),
    onProxy: (_, { tokens }) => seen.push(`proxy ${tokens.join("|")}`),
    onClose: () => seen.push("close"),
  });
  onTestFinished(() => control[Symbol.asyncDispose]());
  return { control, clock, seen, connections };
}

async function dial(control: Control) {
  const socket = connect(control.port, control.host);
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  let received = "";
  socket.on("data", (chunk: Buffer) => {
    received += chunk.toString();
  });
  return {
    socket,
    received: () => received,
    gets: (text: string) => until(socket, () => received.includes(text)),
  };
}

const ignore = () => {};

async function until(socket: Socket, holds: () => boolean) {
  while (!holds()) await once(socket, "data");
}

test("the right secret is answered with addresses and version", async () => {
  const { control } = await openControl();
  const app = await dial(control);
  app.socket.write("22#a1|authenticate|cymru|");
  await app.gets("v0.9.10");
  expect(app.received()).toBe("62#d|response|a1|OK|udp/127.0.0.1:5060|v0.9.10|udp/127.0.0.1:5060");
});

test.each([
  ["a wrong secret", "22#a1|authenticate|wrong|", "NO|incorrect secret"],
  ["a command before authenticate", "15#a1|route|invite", "NO|not authenticated"],
  ["an unknown kind", "9#a1|shrubs", "NO|Unknown message type"],
  ["a message without kind", "2#a1", "NO|Invalid message format"],
  ["garbage", "GET / HTTP/1.1\r\n\r\n", "NO|Invalid message format"],
])("%s is refused and the connection closed", async (_, frame, answer) => {
  const { control, seen } = await openControl();
  const app = await dial(control);
  const ended = once(app.socket, "end");
  app.socket.write(frame);
  await ended;
  expect(app.received()).toMatch(new RegExp(`${answer.replace("|", "\\|")}$`));
  expect(seen.filter((entry) => entry !== "close")).toEqual([]);
});

test("commands in the segment of the authentication are taken in order", async () => {
  const { control, seen } = await openControl();
  const app = await dial(control);
  app.socket.write(
    "22#a1|authenticate|cymru|15#a2|route|INVITE22#a3|remove_route|invite7#a4|ping13#a5|sip|t|d\r\nX",
  );
  await app.gets("OK|pong");
  await app.gets("a4");
  expect(seen).toEqual(["route invite", "remove invite", "sip a5|sip|t|d X"]);
  expect(app.received()).toContain("d|response|a3|OK");
});

test("a connection that does not authenticate is closed", async () => {
  const { control, clock } = await openControl({ authenticateTimeoutMs: 1_000 });
  const app = await dial(control);
  const ended = once(app.socket, "close");
  app.socket.resume();
  await clock.advance(1_000);
  await expect(ended).resolves.toEqual([false]);
});

test("a message over the limit is refused by name and the connection goes on", async () => {
  const { control, seen } = await openControl({ messageBytes: 200 });
  const app = await dial(control);
  const long = `a2|sip|t|d\r\n${"x".repeat(300)}`;
  app.socket.write(`22#a1|authenticate|cymru|${long.length}#${long}7#a3|ping`);
  await app.gets("OK|pong");
  expect(app.received()).toContain("response|a2|NOK|message of 312 bytes exceeds the limit of 200");
  expect(seen).toEqual([]);
});

test("connections over the limit are closed", async () => {
  const { control } = await openControl({ connections: 1 });
  await dial(control);
  const second = await dial(control);
  second.socket.resume();
  await expect(once(second.socket, "close")).resolves.toEqual([false]);
});

// The suite's own leak check looks for the first port.
test("a TLS port that cannot be had frees the other one", async () => {
  const { control } = await openControl();
  const starting = startControl({
    clock: manualClock(),
    host: "127.0.0.1",
    port: 0,
    tls: { port: control.port },
    secret: "cymru",
    welcome: () => [],
    onRoute: ignore,
    onRemoveRoute: ignore,
    onSip: ignore,
    onProxy: ignore,
    onClose: ignore,
  });
  await expect(starting).rejects.toMatchObject({ code: "EADDRINUSE" });
});

test("the daemon's own messages carry a new id and the SIP message", async () => {
  const { control, connections } = await openControl();
  const app = await dial(control);
  app.socket.write("22#a1|authenticate|cymru|15#a2|route|invite");
  await app.gets("a2|OK");
  connections[0]?.send("sip|network|5", Buffer.from("BYE é"));
  await app.gets("BYE");
  expect(app.received()).toMatch(/23#d\|sip\|network\|5\r\nBYE é$/);
  expect(connections[0]?.open).toBe(true);
});

test("an application that hangs up is reported, and writing to it does nothing", async () => {
  const { control, seen, connections } = await openControl();
  const app = await dial(control);
  app.socket.write("22#a1|authenticate|cymru|15#a2|route|invite");
  await app.gets("a2|OK");
  app.socket.destroy();
  await expect.poll(() => seen).toContain("close");
  connections[0]?.send("sip|network");
  expect(connections[0]?.open).toBe(false);
});

test("an application that does not read does not hold up the disposal", async () => {
  const { control, connections } = await openControl();
  const app = await dial(control);
  app.socket.write("22#a1|authenticate|cymru|15#a2|route|invite");
  await app.gets("a2|OK");
  app.socket.pause();
  for (let at = 0; at < 200; at++) connections[0]?.send("sip", Buffer.alloc(50_000, "x"));
  await control[Symbol.asyncDispose]();
  expect(connections[0]?.open).toBe(false);
});

test("what an application does not read is bounded", async () => {
  const { control, connections, seen } = await openControl({ backlogBytes: 100_000 });
  const app = await dial(control);
  app.socket.write("22#a1|authenticate|cymru|15#a2|route|invite");
  await app.gets("a2|OK");
  app.socket.pause();
  const [connection] = connections;
  for (let at = 0; at < 1_000; at++) connection?.send("sip", Buffer.alloc(50_000, "x"));
  expect(connection?.open).toBe(false);
  await expect.poll(() => seen).toContain("close");
});

test("disposing twice is fine and frees the port", async () => {
  const { control } = await openControl();
  await control[Symbol.asyncDispose]();
  await control[Symbol.asyncDispose]();
  const socket = connect(control.port, control.host);
  await expect(once(socket, "connect")).rejects.toThrow("ECONNREFUSED");
});
