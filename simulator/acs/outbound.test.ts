import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import { expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { createCertificateAuthority } from "../certificates.ts";
import { systemClock } from "../clock.ts";
import { Outbound } from "./outbound.ts";

const clock = systemClock();
const never = new AbortController().signal;
const options = { headers: {}, body: "{}", timeoutMs: 2000, signal: never };

async function listen(server: Server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/events`,
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, "close");
    },
  };
}

test("a request survives an idle connection that the server closes as it is used again", async () => {
  const sockets: Socket[] = [];
  const bodies: string[] = [];
  const server = createTcpServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    let requests = 0;
    socket.on("data", (data) => {
      requests++;
      // The second request on a connection meets a reset, as after a keep-alive time-out.
      if (requests > 1) return void socket.resetAndDestroy();
      bodies.push(String(data).split("\r\n\r\n")[1] ?? "");
      return void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
  });
  await using listening = await listen(server);
  using outbound = new Outbound({ clock });
  const statuses: number[] = [];
  for (const body of ["1", "2", "3"]) {
    const answer = await outbound.post(listening.url, { ...options, body });
    statuses.push(answer.status);
  }
  expect(statuses).toEqual([200, 200, 200]);
  expect(bodies).toEqual(["1", "2", "3"]);
  for (const socket of sockets) socket.destroy();
});

test("a connection that is reset at once fails the request", async () => {
  const server = createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.resetAndDestroy();
  });
  await using listening = await listen(server);
  using outbound = new Outbound({ clock });
  await expect(outbound.post(listening.url, options)).rejects.toMatchObject({ code: "ECONNRESET" });
});

test("an answer that does not come in time names the address and the time", async () => {
  const server = createServer(() => {});
  await using listening = await listen(server);
  using outbound = new Outbound({ clock });
  const attempt = outbound.post(listening.url, { ...options, timeoutMs: 30 });
  await expect(attempt).rejects.toThrow(`no answer from ${listening.url} within 30 ms`);
  server.closeAllConnections();
});

test("an answer longer than the limit is not read", async () => {
  const server = createServer((_request, response) => void response.end("x".repeat(1000)));
  await using listening = await listen(server);
  using outbound = new Outbound({ clock });
  const attempt = outbound.post(listening.url, { ...options, limitBytes: 999 });
  await expect(attempt).rejects.toThrow("the answer is longer than 999 bytes");
});

test("the ingress map sends a public name to its local port, for http and WebSockets", () => {
  using outbound = new Outbound({
    clock,
    ingress: { "https://app.test": "http://127.0.0.1:8080" },
  });
  expect(outbound.resolve("https://app.test/a?b=c").href).toBe("http://127.0.0.1:8080/a?b=c");
  expect(outbound.resolve("wss://app.test/media").href).toBe("http://127.0.0.1:8080/media");
  expect(outbound.resolve("https://other.test/a").href).toBe("https://other.test/a");
});

test("an application with a certificate of the lab's authority is trusted, over https and wss", async () => {
  const authority = await createCertificateAuthority({ clock });
  const tls = await authority.issue({ commonName: "app", hosts: ["127.0.0.1"] });
  const server = createSecureServer(tls, (_request, response) => void response.end("hello"));
  const sockets = new WebSocketServer({ server });
  await using listening = await listen(server);
  const url = listening.url.replace("http:", "https:");
  using stranger = new Outbound({ clock });
  await expect(stranger.post(url, options)).rejects.toThrow(/certificate/);
  using outbound = new Outbound({ clock, ca: [authority.certificate] });
  const answer = await outbound.post(url, options);
  expect(answer.body).toBe("hello");
  const socket = outbound.webSocket(url.replace("https:", "wss:"), { "x-ms-call": "1" });
  const [[, request]] = await Promise.all([once(sockets, "connection"), once(socket, "open")]);
  expect(request.headers["x-ms-call"]).toBe("1");
  socket.terminate();
  server.closeAllConnections();
});
