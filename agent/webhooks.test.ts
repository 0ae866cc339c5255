import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect as connectTcp } from "node:net";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { cloudEvent, until } from "./testing/call-service.ts";
import { connect, INCOMING, post, startWorld, type World } from "./testing/world.ts";

const SECRET = { EVENT_GRID_SECRET: "event grid secret" };
const AUDIENCE = "7d0b4d9e-0000-4000-8000-000000000000";
const ISSUER = "https://acscallautomation.communication.azure.com";

const VALIDATION = JSON.stringify([
  {
    id: "2d1781af",
    topic: "/subscriptions/0/resourceGroups/lab",
    subject: "",
    data: { validationCode: "512d38b6-c7b8", validationUrl: "https://rp.test/validate" },
    eventType: "Microsoft.EventGrid.SubscriptionValidationEvent",
    eventTime: "2026-01-25T22:12:19.4556811Z",
    metadataVersion: "1",
    dataVersion: "1",
  },
]);

test("the Event Grid handshake is answered with the code and a length", async () => {
  await using world = await startWorld();
  const response = await post(world.agent.webhookUrl, VALIDATION);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-length")).not.toBeNull();
  expect(await response.json()).toEqual({ validationResponse: "512d38b6-c7b8" });
});

test("the CloudEvents handshake is answered with the origin", async () => {
  await using world = await startWorld();
  const headers = { "WebHook-Request-Origin": "eventgrid.azure.net" };
  const response = await fetch(world.agent.webhookUrl, { method: "OPTIONS", headers });
  expect(response.status).toBe(200);
  expect(response.headers.get("webhook-allowed-origin")).toBe("eventgrid.azure.net");
  expect((await fetch(world.agent.webhookUrl, { method: "OPTIONS" })).status).toBe(400);
});

test("events without the shared secret are turned away", async () => {
  await using world = await startWorld({ env: SECRET });
  expect(world.agent.webhookUrl).toContain("?code=event%20grid%20secret");
  expect((await post(`${world.agent.url}/events`, INCOMING)).status).toBe(401);
  expect((await post(`${world.agent.url}/events?code=wrong`, INCOMING)).status).toBe(401);
  expect(world.agent.activeCalls).toBe(0);
  expect((await post(world.agent.webhookUrl, VALIDATION)).status).toBe(200);
});

test.each([
  ["GET", "/events", 405],
  ["PUT", "/callbacks/abc", 405],
  ["POST", "/healthz", 405],
  ["GET", "/", 404],
  ["POST", "/callbacks/a/b", 404],
  ["POST", "/callbacks/unknown", 404],
  ["GET", "/healthz", 200],
  ["GET", "/readyz", 200],
])("%s %s is answered with %i", async (method, path, status) => {
  await using world = await startWorld();
  const body = method === "POST" ? JSON.stringify([cloudEvent("CallConnected", {})]) : null;
  const response = await fetch(`${world.agent.url}${path}`, { method, body });
  expect(response.status).toBe(status);
  expect(response.headers.has("allow")).toBe(status === 405);
});

test.each(["", "{", "[]", "7", '[{"no":"type"}]', '[{"type":7}]'])(
  "%j is answered with 400",
  async (body) => {
    await using world = await startWorld();
    expect((await post(world.agent.webhookUrl, body)).status).toBe(400);
    expect((await post(`${world.agent.url}/callbacks/abc`, body)).status).toBe(400);
  },
);

test("IncomingCall without a context is answered with 400", async () => {
  await using world = await startWorld();
  const event = JSON.parse(INCOMING);
  delete event[0].data.incomingCallContext;
  expect((await post(world.agent.webhookUrl, JSON.stringify(event))).status).toBe(400);
});

test("a body beyond the limit is answered with 413, announced or not", async () => {
  await using world = await startWorld();
  const large = "x".repeat(1_048_577);
  expect((await post(world.agent.webhookUrl, large)).status).toBe(413);
  const { hostname, port } = new URL(world.agent.url);
  const socket = connectTcp(Number(port), hostname);
  socket.on("error", () => undefined);
  socket.write("POST /events HTTP/1.1\r\nHost: agent\r\nTransfer-Encoding: chunked\r\n\r\n");
  socket.write(`100001\r\n${large}\r\n`);
  const [answer] = await once(socket, "data");
  expect(String(answer)).toMatch(/^HTTP\/1.1 413/);
  socket.destroy();
});

test("a call announced twice is answered once", async () => {
  await using world = await startWorld();
  const answers = await Promise.all([
    post(world.agent.webhookUrl, INCOMING),
    post(world.agent.webhookUrl, INCOMING),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  await connect(world);
  expect(world.calls.requests.filter(({ path }) => path.endsWith(":answer"))).toHaveLength(1);
  expect(world.agent.activeCalls).toBe(1);
});

test("one call too many is rejected as busy", async () => {
  await using world = await startWorld({ env: { AGENT_MAX_CALLS: "1" } });
  await post(world.agent.webhookUrl, INCOMING);
  await post(world.agent.webhookUrl, INCOMING.replace("eyJhbGciOiJub25l", "eyJhbGciOiJub25m"));
  const { body } = await world.calls.request(/:reject$/);
  expect(body["callRejectReason"]).toBe("busy");
});

test("a draining agent sends Event Grid elsewhere and is not ready", async () => {
  await using world = await startWorld();
  await world.agent.drain();
  expect((await post(world.agent.webhookUrl, INCOMING)).status).toBe(503);
  expect((await fetch(`${world.agent.url}/readyz`)).status).toBe(503);
  expect((await fetch(`${world.agent.url}/healthz`)).status).toBe(200);
});

test("draining waits for the call, then hangs up what is left", async () => {
  await using world = await startWorld();
  await connect(world);
  await world.agent.drain({ timeoutMs: 50, farewellMs: 50 });
  expect(world.agent.activeCalls).toBe(0);
  await world.calls.request(/:terminate$/);
});

/** The service's signing keys, served as it serves them. */
async function startIssuer() {
  const { publicKey, privateKey } = await generateKeyPair("RS256");
  const stranger = await generateKeyPair("RS256");
  const keys = [{ ...(await exportJWK(publicKey)), kid: "key-1", alg: "RS256", use: "sig" }];
  const server = createServer((_request, response) => response.end(JSON.stringify({ keys })));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const sign = (
    claims: { aud?: string; iss?: string; exp?: string; kid?: string; stranger?: boolean } = {},
  ) =>
    new SignJWT()
      .setProtectedHeader({ alg: "RS256", kid: claims.kid ?? "key-1" })
      .setIssuer(claims.iss ?? ISSUER)
      .setAudience(claims.aud ?? AUDIENCE)
      .setIssuedAt()
      .setExpirationTime(claims.exp ?? "5m")
      .sign(claims.stranger ? stranger.privateKey : privateKey);
  const env = {
    ACS_CALLBACK_AUDIENCE: AUDIENCE,
    ACS_CALLBACK_JWKS_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/calling/keys`,
  };
  const dispose = async () => {
    if (!server.listening) return;
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  return { sign, env, [Symbol.asyncDispose]: dispose };
}

async function callbackUrl(world: World): Promise<string> {
  await post(world.agent.webhookUrl, INCOMING);
  const { body } = await world.calls.request(/:answer$/);
  return String(body["callbackUri"]);
}

function postAs(url: string, token: string | undefined): Promise<Response> {
  const authorization = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const body = JSON.stringify([cloudEvent("ParticipantsUpdated", { participants: [] })]);
  return fetch(url, { method: "POST", body, headers: authorization });
}

test("callbacks are taken from the service only", async () => {
  await using issuer = await startIssuer();
  await using world = await startWorld({ env: issuer.env });
  const url = await callbackUrl(world);
  expect((await postAs(url, await issuer.sign())).status).toBe(200);
  const forged = [
    undefined,
    "not.a.token",
    await issuer.sign({ aud: "another resource" }),
    await issuer.sign({ iss: "https://evil.test" }),
    await issuer.sign({ exp: "5 minutes ago" }),
    await issuer.sign({ kid: "key-2" }),
    await issuer.sign({ stranger: true }),
    `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from(`{"aud":"${AUDIENCE}","iss":"${ISSUER}"}`).toString("base64url")}.`,
  ];
  for (const token of forged) expect((await postAs(url, token)).status).toBe(401);
});

test("keys that can no longer be fetched are used on", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  onTestFinished(() => void vi.useRealTimers());
  await using issuer = await startIssuer();
  await using world = await startWorld({ env: issuer.env });
  const url = await callbackUrl(world);
  expect((await postAs(url, await issuer.sign())).status).toBe(200);
  await issuer[Symbol.asyncDispose]();
  vi.setSystemTime(Date.now() + 7_200_000);
  expect((await postAs(url, await issuer.sign())).status).toBe(200);
});

async function refusal(
  url: string,
  headers: Record<string, string> = {},
): Promise<number | undefined> {
  const socket = new WebSocket(url, { headers });
  socket.on("error", () => undefined);
  const [, response] = await once(socket, "unexpected-response");
  response.resume();
  return response.statusCode;
}

test("a media socket needs the call's token and the service's", async () => {
  await using issuer = await startIssuer();
  await using world = await startWorld({ env: issuer.env });
  await callbackUrl(world);
  const { body } = await world.calls.request(/:answer$/);
  const url = (body["mediaStreamingOptions"] as { transportUrl: string }).transportUrl;
  const token = { Authorization: `Bearer ${await issuer.sign()}` };
  expect(await refusal(url)).toBe(401);
  expect(await refusal(url.replace(/.{4}$/, "AAAA"), token)).toBe(403);
  expect(await refusal(url.replace("/media/", "/other/"), token)).toBe(404);
  const media = await world.calls.openMedia(token);
  expect(media.socket.readyState).toBe(WebSocket.OPEN);
});

test("a media token works once while its socket lives, and not after the call", async () => {
  await using world = await startWorld();
  const { media } = await connect(world);
  const { url } = media.socket;
  const second = new WebSocket(url);
  const [code] = await once(second, "close");
  expect(code).toBe(1008);
  await world.calls.event("CallDisconnected");
  await until(() => world.agent.activeCalls === 0);
  expect(await refusal(url)).toBe(403);
});

test.each(["another", ""])("a media socket of connection %j is refused", async (connectionId) => {
  await using world = await startWorld();
  await callbackUrl(world);
  await world.calls.event("CallConnected");
  const media = await world.calls.openMedia({ "x-ms-call-connection-id": connectionId });
  const [code] = await once(media.socket, "close");
  expect(code).toBe(1008);
});

test("an oversized media message costs the socket, not the service", async () => {
  await using world = await startWorld();
  const { media } = await connect(world);
  media.socket.send("x".repeat(300_000));
  const [code] = await once(media.socket, "close");
  expect(code).toBe(1009);
  expect((await fetch(`${world.agent.url}/healthz`)).status).toBe(200);
});

test("no secret and no personal data reaches the log", async () => {
  await using world = await startWorld({
    env: { ...SECRET, LOG_LEVEL: "trace" },
    turns: [{ says: "Your balance is 49.99." }, { fails: 401 }],
    calls: { refuseTransfer: { status: 403, code: "7504" } },
  });
  const { ear, media } = await connect(world);
  await until(() => media.totalBytes > 0);
  ear.phrase("My canary word is platypus");
  await until(() => world.model.requests.length === 1);
  ear.phrase("And platypus again");
  await world.calls.request(/:transferToParticipant$/);
  await until(() => world.agent.activeCalls === 0);
  const log = world.log.join("");
  expect(log).toContain("call ended");
  const canaries = [
    "event grid secret",
    "speech key",
    "model key",
    "platypus",
    "+14255550100",
    "14255550100",
    "Dana",
  ];
  const { incomingCallContext } = JSON.parse(INCOMING)[0].data;
  const secretKey = Buffer.from("a secret access key").toString("base64");
  for (const canary of [...canaries, secretKey, incomingCallContext])
    expect(log).not.toContain(canary);
});
