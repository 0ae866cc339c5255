import { CallAutomationClient } from "@azure/communication-call-automation";
import { beforeAll, expect, test } from "vitest";
import { createCertificateAuthority, type IssuedCertificate } from "../certificates.ts";
import { systemClock } from "../clock.ts";
import { authenticate, contentHash, sign } from "./auth.ts";
import { startTestLab } from "./testing/lab.ts";

// Produced by the signing policy of @azure/communication-common 2.5.0.
const KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const DATE = "Fri, 02 Jan 2026 03:04:05 GMT";
const BODY = '{"incomingCallContext":"ctx","callbackUri":"https://app.test/cb"}';
const TARGET = "/calling/callConnections:answer?api-version=2026-03-12";

const request = (changes: object = {}, headers: object = {}) => ({
  method: "POST",
  target: TARGET,
  body: Buffer.from(BODY),
  secure: false,
  headers: {
    host: "localhost:8443",
    "x-ms-date": DATE,
    "x-ms-content-sha256": "wRn2aYeKXkWw+1iTQvhE8Cqd59KAIfFHK6HQwYWD1gg=",
    authorization:
      "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=rt1NoUNJdBgX4byPfQeV77EUggPLMTO/vPv6Q2A29oc=",
    ...headers,
  },
  ...changes,
});
const options = { accessKeys: [KEY], now: () => new Date(DATE), clockSkewMs: 300_000 };

test("the SDK's own signature is accepted", () => {
  expect(() => authenticate(request(), options)).not.toThrow();
});

test("a GET signs the hash of nothing", () => {
  const hash = contentHash(Buffer.alloc(0));
  const parts = {
    method: "GET",
    target: "/calling/recordings/x?api-version=2026-03-12",
    date: DATE,
    host: "localhost:8443",
    hash,
  };
  expect(hash).toBe("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
  expect(sign(KEY, parts)).toBe("uMru8zCUGyC+XD2o/WyfAInzzZaPx82HCOKVk+sXPX0=");
});

test.each([
  ["another body", { body: Buffer.from("{}") }, {}, "7509"],
  ["another path", { target: "/calling/callConnections:reject" }, {}, "7509"],
  ["another host", {}, { host: "localhost:1" }, "7509"],
  ["another date", {}, { "x-ms-date": "Fri, 02 Jan 2026 03:04:06 GMT" }, "7509"],
  ["no date", {}, { "x-ms-date": undefined }, "7509"],
  [
    "a signature of another length",
    {},
    { authorization: "HMAC-SHA256 SignedHeaders=a&Signature=b" },
    "7509",
  ],
  ["no credential", {}, { authorization: undefined }, "7501"],
  ["an unknown scheme", {}, { authorization: "Basic abc" }, "7501"],
  ["a bearer token without TLS", {}, { authorization: "Bearer abc" }, "7501"],
])("%s is refused with 401", (_what, changes, headers, code) => {
  expect(() => authenticate(request(changes, headers), options)).toThrow(
    expect.objectContaining({ status: 401, code }),
  );
});

test("a request older than the allowed skew is refused", () => {
  const late = { ...options, now: () => new Date("2026-01-02T03:09:06Z") };
  expect(() => authenticate(request(), late)).toThrow(/x-ms-date is more than 300000 ms off/);
});

test("a bearer token is accepted on TLS", () => {
  const bearer = request({ secure: true }, { authorization: "Bearer abc" });
  expect(() => authenticate(bearer, options)).not.toThrow();
});

let authority: Awaited<ReturnType<typeof createCertificateAuthority>>;
let tls: IssuedCertificate;
beforeAll(async () => {
  authority = await createCertificateAuthority({ clock: systemClock() });
  tls = await authority.issue({ commonName: "acs", hosts: ["localhost", "127.0.0.1"] });
});

test("the SDK works over https with a key and with a token", async () => {
  await using lab = await startTestLab({ tls });
  const trust = { tlsOptions: { ca: authority.certificate } };
  const byKey = new CallAutomationClient(lab.acs.secureConnectionString ?? "", trust);
  const credential = {
    getToken: async () => ({ token: "any", expiresOnTimestamp: Number.MAX_SAFE_INTEGER }),
  };
  const byToken = new CallAutomationClient(lab.acs.secureUrl ?? "", credential, trust);
  for (const client of [byKey, byToken]) {
    const { context } = await lab.ring();
    const { callConnection } = await client.answerCall(context, `${lab.application.url}/cb`);
    const { callConnectionId } = await callConnection.getCallConnectionProperties();
    expect(callConnectionId).toMatch(/^[\da-f-]{36}$/);
  }
});

test("the wrong key is answered 401 with a body the SDK understands", async () => {
  await using lab = await startTestLab();
  const wrong = lab.acs.connectionString.replace(/accesskey=.*/, `accesskey=${KEY}`);
  const client = new CallAutomationClient(wrong, { allowInsecureConnection: true });
  await expect(client.rejectCall("context")).rejects.toMatchObject({
    statusCode: 401,
    code: "7509",
    message: "HMAC validation error: signature differs.",
  });
});
