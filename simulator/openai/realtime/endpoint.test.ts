import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import OpenAI from "openai";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { afterEach, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { createCertificateAuthority } from "../../certificates.ts";
import { systemClock } from "../../clock.ts";
import { KEY, plainly, startService } from "./testing/service.ts";

const GA = "/openai/v1/realtime?model=voice";
const PREVIEW = "/openai/realtime?api-version=2025-04-01-preview&deployment=voice";
const HEADERS = { "api-key": KEY };

interface Attempt {
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly protocols?: string[];
}

/** `open` with the first event, or the status that refused the upgrade. */
function attempt(url: string, { path, headers = {}, protocols = [] }: Attempt) {
  const socket = new WebSocket(`${url.replace("http", "ws")}${path}`, protocols, { headers });
  onTestFinished(() => socket.close());
  return new Promise<{ status: number; protocol?: string; body?: unknown }>((resolve) => {
    socket.once("message", (data: Buffer) => {
      resolve({ status: 101, protocol: socket.protocol, body: JSON.parse(data.toString()) });
    });
    socket.once("unexpected-response", (_request, response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("end", () => {
        const body: unknown = JSON.parse(Buffer.concat(parts).toString());
        resolve({ status: response.statusCode ?? 0, body });
      });
    });
    socket.on("error", () => {});
  });
}

test.each<Attempt>([
  { path: GA, headers: HEADERS },
  { path: GA, headers: { authorization: `Bearer ${KEY}` } },
  { path: `${GA}&api-key=${KEY}` },
  { path: PREVIEW, headers: HEADERS },
  { path: "/v1/realtime?model=gpt-realtime", headers: { authorization: `Bearer ${KEY}` } },
  {
    path: "/v1/realtime?model=gpt-realtime",
    protocols: ["realtime", `openai-insecure-api-key.${KEY}`],
  },
])("a session opens at $path", async (how) => {
  const { service } = await startService();
  const { status, protocol, body } = await attempt(service.url, how);
  expect(status).toBe(101);
  expect(protocol).toBe(how.protocols === undefined ? "" : "realtime");
  expect(body).toMatchObject({ type: "session.created" });
});

test.each<Attempt & { status: number; code: string }>([
  { path: GA, headers: { "api-key": "wrong" }, status: 401, code: "401" },
  { path: GA, headers: {}, status: 401, code: "401" },
  {
    path: "/openai/v1/realtime?model=other",
    headers: HEADERS,
    status: 404,
    code: "DeploymentNotFound",
  },
  {
    path: "/openai/v1/realtime?model=chat",
    headers: HEADERS,
    status: 400,
    code: "OpperationNotSupported",
  },
  { path: "/openai/v1/realtime", headers: HEADERS, status: 400, code: "invalid_request_error" },
  { path: "/openai/realtime?deployment=voice", headers: HEADERS, status: 404, code: "404" },
  { path: "/openai/v1/other", headers: HEADERS, status: 404, code: "404" },
])("$path is refused with $status $code", async ({ status, code, ...how }) => {
  const { service } = await startService();
  expect(await attempt(service.url, how)).toMatchObject({ status, body: { error: { code } } });
});

test("a planned fault refuses the upgrade", async () => {
  const faults = [{ name: "openai.refuse-realtime", with: { status: 429 } }];
  const { service } = await startService({ faults });
  expect(await attempt(service.url, { path: GA, headers: HEADERS })).toMatchObject({ status: 429 });
});

test.each(["Upgrade: websocket\r\nConnection: Upgrade", "Connection: close"])(
  "a target that is no address is refused, and the service goes on (%j)",
  async (headers) => {
    const { service } = await startService();
    const { hostname, port } = new URL(service.url);
    const socket = connect(Number(port), hostname);
    socket.write(`GET // HTTP/1.1\r\nHost: lab\r\n${headers}\r\n\r\n`);
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(await attempt(service.url, { path: GA, headers: HEADERS })).toMatchObject({
      status: 101,
    });
  },
);

test("the plain service's preview is asked for by a header", async () => {
  const { service } = await startService();
  const headers = { authorization: `Bearer ${KEY}`, "openai-beta": "realtime=v1" };
  const { body } = await attempt(service.url, { path: "/v1/realtime?model=m", headers });
  expect(body).toMatchObject({ session: { modalities: ["audio", "text"] } });
});

test("the key is in no trace", async () => {
  const { service, trace } = await startService();
  await attempt(service.url, { path: `${GA}&api-key=${KEY}` });
  await attempt(service.url, { path: `/nowhere?api-key=${KEY}` });
  expect(trace.events.length).toBeGreaterThan(0);
  expect(JSON.stringify(trace.events)).not.toContain(KEY);
});

test("the plain client's class opens a session", async () => {
  const { service } = await startService();
  const client = new OpenAI({ baseURL: `${service.url}/v1`, apiKey: KEY });
  const connection = new OpenAIRealtimeWS(
    { model: "gpt-realtime", options: plainly(service.url) },
    client,
  );
  onTestFinished(() => connection.close());
  const session = await new Promise((resolve) => {
    connection.on("session.created", ({ session: created }) => resolve(created));
  });
  expect(session).toMatchObject({ model: "gpt-realtime" });
});

const authorities = getCACertificates("default");
afterEach(() => setDefaultCACertificates(authorities));

test("the native classes open sessions over TLS", async () => {
  const authority = await createCertificateAuthority({ clock: systemClock() });
  const tls = await authority.issue({ commonName: "openai", hosts: ["127.0.0.1"] });
  setDefaultCACertificates([...authorities, authority.certificate]);
  const { service, azure } = await startService({ tls });
  const plain = new OpenAI({ baseURL: `${service.url}/v1`, apiKey: KEY });
  const opened = [
    greeted(await OpenAIRealtimeWebSocket.azure(azure, { deploymentName: "voice" })),
    greeted(new OpenAIRealtimeWebSocket({ model: "gpt-realtime" }, plain)),
  ];
  for (const created of await Promise.all(opened)) {
    expect(created).toMatchObject({ session: { type: "realtime" } });
  }
});

/** The first event; then the connection is closed. */
async function greeted(connection: OpenAIRealtimeWebSocket): Promise<unknown> {
  const created = await new Promise((resolve, reject) => {
    connection.on("session.created", resolve);
    connection.on("error", reject);
  });
  const closed = new Promise((resolve) => {
    connection.socket.addEventListener("close", resolve);
  });
  connection.close();
  await closed;
  return created;
}
