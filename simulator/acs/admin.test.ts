import { expect, test } from "vitest";
import { Admin } from "./admin.ts";
import { contentHash, sign } from "./auth.ts";
import { Switchboard } from "./switchboard.ts";
import { Application } from "./testing/application.ts";
import { ACCESS_KEY, startTestLab } from "./testing/lab.ts";

const json = { "content-type": "application/json" };

test("a subscription is made, listed and removed over HTTP", async () => {
  await using lab = await startTestLab();
  await using other = await Application.start();
  const subscriptions = `${lab.acs.url}/admin/subscriptions`;
  const webhookUrl = `${other.url}/hook`;
  const made = await fetch(subscriptions, {
    method: "POST",
    headers: json,
    body: JSON.stringify({ webhookUrl, name: "second", headers: { "x-secret": "s" } }),
  });
  expect(made.status).toBe(201);
  const listed = await (await fetch(subscriptions)).json();
  expect(listed).toEqual({
    value: [
      expect.objectContaining({ name: "lab" }),
      { name: "second", webhookUrl, schema: "EventGrid" },
    ],
  });
  lab.gateway.ring();
  const event = await other.event("IncomingCall");
  expect(event.headers["x-secret"]).toBe("s");
  const removed = await fetch(`${subscriptions}/second`, { method: "DELETE" });
  const again = await fetch(`${subscriptions}/second`, { method: "DELETE" });
  expect([removed.status, again.status]).toEqual([204, 404]);
});

test("a webhook that fails its handshake is answered 400 with the reason", async () => {
  await using lab = await startTestLab();
  await using other = await Application.start();
  other.reply = () => ({ status: 404 });
  const made = await fetch(`${lab.acs.url}/admin/subscriptions`, {
    method: "POST",
    headers: json,
    body: JSON.stringify({ webhookUrl: other.url }),
  });
  expect(made.status).toBe(400);
  expect(await made.text()).toContain("failed the EventGrid handshake: status 404, expected 200");
});

test("calls and dead letters can be looked at", async () => {
  await using lab = await startTestLab();
  const calls = await fetch(`${lab.acs.url}/admin/calls`);
  const letters = await fetch(`${lab.acs.url}/admin/dead-letters`);
  expect([await calls.json(), await letters.json()]).toEqual([{ value: [] }, { value: [] }]);
  const other = await fetch(`${lab.acs.url}/admin/else`);
  expect(other.status).toBe(404);
});

test("a request that a web page could send unasked is refused, and so is another machine", async () => {
  await using lab = await startTestLab();
  const plain = await fetch(`${lab.acs.url}/admin/subscriptions`, { method: "POST", body: "{}" });
  expect(plain.status).toBe(400);
  const admin = new Admin(Object.create(Switchboard.prototype));
  const request = { method: "GET", path: "/calls", body: Buffer.alloc(0), contentType: undefined };
  expect(await admin.answer({ ...request, peer: "192.0.2.7" })).toMatchObject({ status: 403 });
});

test("POST /identities makes a communication user, with a token when scopes are asked for", async () => {
  await using lab = await startTestLab();
  const target = "/identities?api-version=2023-10-01";
  const create = async (body: string) => {
    const { host } = new URL(lab.acs.url);
    const date = new Date().toUTCString();
    const hash = contentHash(Buffer.from(body));
    const signature = sign(ACCESS_KEY, { method: "POST", target, date, host, hash });
    const answer = await fetch(`${lab.acs.url}${target}`, {
      method: "POST",
      body,
      headers: {
        ...json,
        "x-ms-date": date,
        "x-ms-content-sha256": hash,
        authorization: `HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=${signature}`,
      },
    });
    return { status: answer.status, body: await answer.json() };
  };
  const id = expect.stringMatching(/^8:acs:5ac0de00-.*_[\da-f-]{36}$/);
  expect(await create("{}")).toEqual({ status: 201, body: { identity: { id } } });
  expect(await create('{"createTokenWithScopes":["voip"],"expiresInMinutes":60}')).toEqual({
    status: 201,
    body: {
      identity: { id },
      accessToken: { token: expect.any(String), expiresOn: expect.stringMatching(/Z$/) },
    },
  });
  expect(await create('{"expiresInMinutes":1}')).toMatchObject({ status: 400 });
});
