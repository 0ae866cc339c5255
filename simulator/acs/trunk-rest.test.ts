import { beforeEach, expect, test } from "vitest";
import { Fields } from "./fields.ts";
import type { Reply } from "./operation.ts";
import { createResource, type Resource } from "./resource.ts";
import type { TrunkStatus } from "./trunk-health.ts";
import { trunkOperations } from "./trunk-rest.ts";

const PATTERN = "^+[1-9][0-9]{3,23}$";
const PREVIEW = "2024-11-15-preview";
let resource: Resource;
let status: TrunkStatus;

beforeEach(() => {
  status = { tls: "unknown", ping: "unknown", overall: "unknown" };
  resource = createResource({
    name: "linecheck",
    domains: ["foo.bar"],
    trunks: [{ fqdn: "my-sbc.foo.bar", sipSignalingPort: 1234 }],
  });
});

interface Call {
  query?: Record<string, string>;
  apiVersion?: string;
}

function call(
  method: string,
  body: unknown = {},
  { query = {}, apiVersion = "2023-03-01" }: Call = {},
): Promise<Reply> {
  const path = method === "POST" ? "/sip:testRoutesWithNumber" : "/sip";
  const operations = trunkOperations({ resource, trunkStatus: () => status });
  const operation = operations.find((each) => each.method === method && each.path.test(path));
  const request = { ids: [], body: Fields.of(body), apiVersion, origin: "", range: undefined };
  return Promise.try(() =>
    operation === undefined
      ? { status: 404 }
      : operation.handle({ ...request, query: new URLSearchParams(query) }),
  );
}

test("the stable version shows ports and routes, as in a recording of the service", async () => {
  const routes = [
    {
      description: "myRoute's description",
      name: "myRoute",
      numberPattern: PATTERN,
      trunks: ["my-sbc.foo.bar"],
    },
  ];
  const trunks = { "my-sbc.foo.bar": { sipSignalingPort: 1234 } };
  const changed = await call("PATCH", { trunks, routes });
  expect(changed).toEqual({ status: 200, body: { trunks, routes } });
  expect(await call("GET")).toEqual(changed);
});

test("a route without trunks comes back with an empty list", async () => {
  const changed = await call("PATCH", { routes: [{ name: "r", numberPattern: PATTERN }] });
  expect(changed.body).toMatchObject({
    routes: [{ name: "r", numberPattern: PATTERN, trunks: [] }],
  });
});

test("a trunk set to null goes away, the others stay", async () => {
  await call("PATCH", { trunks: { "two.foo.bar": { sipSignalingPort: 2 } } });
  const changed = await call("PATCH", { trunks: { "my-sbc.foo.bar": null } });
  expect(changed.body).toEqual({ trunks: { "two.foo.bar": { sipSignalingPort: 2 } }, routes: [] });
});

const route = (change: object) => ({ routes: [{ name: "r", numberPattern: PATTERN, ...change }] });

test.each([
  [{ trunks: { "-1": { sipSignalingPort: 8239 } } }, 422, "InvalidTrunkFqdn"],
  [{ trunks: { "a.foo.bar": { sipSignalingPort: 0 } } }, 422, "InvalidTrunkSipSignalingPort"],
  [{ trunks: { "a.foo.bar": {} } }, 422, "InvalidTrunkSipSignalingPort"],
  [{ trunks: { "sbc.elsewhere.test": { sipSignalingPort: 1 } } }, 422, "InvalidTrunkFqdn"],
  [{ trunks: {} }, 422, "EmptyPatch"],
  [{}, 422, "EmptyPatch"],
  [route({ name: "" }), 422, "InvalidRouteName"],
  [route({ numberPattern: "" }), 422, "InvalidRouteNumberPattern"],
  [route({ numberPattern: "(" }), 422, "InvalidRouteNumberPattern"],
  [route({ trunks: ["notExisting.fqdn.com"] }), 422, "MissingTrunk"],
  [route({ trunks: ["my-sbc.foo.bar", "my-sbc.foo.bar"] }), 400, "RouteWithDuplicatedTrunk"],
  [{ routes: [...route({}).routes, ...route({}).routes] }, 400, "DuplicatedRoute"],
  [{ routes: "all" }, 422, "InvalidRequestBody"],
  [{ trunks: [] }, 422, "InvalidRequestBody"],
  [route({ trunks: [7] }), 422, "InvalidRequestBody"],
])("%j is refused with %i %s and changes nothing", async (body, expected, code) => {
  const before = await call("GET");
  expect(await call("PATCH", body)).toMatchObject({
    status: expected,
    body: {
      error: {
        code: "UnprocessableConfiguration",
        message: "One or more request inputs are not valid.",
        innererror: { code },
      },
    },
  });
  expect(await call("GET")).toEqual(before);
});

test("a broken pattern is named with its place", async () => {
  const { body } = await call("PATCH", route({ numberPattern: "^(1" }));
  expect(JSON.stringify(body)).toContain("at 1, this group is never closed");
});

test("a preview version shows domains and every property of a trunk", async () => {
  await call("PATCH", { trunks: { "my-sbc.foo.bar": { directTransfer: true } } });
  expect((await call("GET", {}, { apiVersion: PREVIEW })).body).toEqual({
    domains: { "foo.bar": { enabled: true } },
    trunks: {
      "my-sbc.foo.bar": {
        sipSignalingPort: 1234,
        enabled: true,
        directTransfer: true,
        privacyHeader: "id",
        ipAddressVersion: "ipv4",
      },
    },
    routes: [],
  });
});

test("health is shown when asked for, in the API's words", async () => {
  status = { tls: "active", ping: "active", overall: "online" };
  const query = { expand: "trunks/health" };
  const healthy = await call("GET", {}, { query, apiVersion: PREVIEW });
  expect(healthy.body).toMatchObject({
    trunks: {
      "my-sbc.foo.bar": {
        health: { tls: { status: "ok" }, ping: { status: "ok" }, overall: { status: "active" } },
      },
    },
  });
  status = { tls: "certExpiring", ping: "expired", overall: "inactive", reason: "noRecentPings" };
  const ill = await call("GET", {}, { query, apiVersion: PREVIEW });
  expect(ill.body).toMatchObject({
    trunks: {
      "my-sbc.foo.bar": {
        health: {
          tls: { status: "certExpiring" },
          ping: { status: "expired" },
          overall: { status: "inactive", reason: "noRecentPings" },
        },
      },
    },
  });
});

test("a domain can be added with its trunk, and a trunk's older property name is understood", async () => {
  const body = {
    domains: { "xyz.biz": { enabled: true } },
    trunks: {
      "vendor.xyz.biz": { sipSignalingPort: 5061, stepOutOfSignaling: true, privacyHeader: "None" },
    },
  };
  const changed = await call("PATCH", body, { apiVersion: PREVIEW });
  expect(changed.status).toBe(200);
  expect(resource.trunk("vendor.xyz.biz")).toMatchObject({
    directTransfer: true,
    privacyHeader: "none",
  });
});

test("the routing test judges a configuration without storing it", async () => {
  const body = {
    domains: { "contoso.com": { enabled: true } },
    trunks: { "us1.contoso.com": { sipSignalingPort: 5012 } },
    routes: [
      { name: "Seattle", numberPattern: String.raw`^\+1(425|206)\d{7}$`, trunks: [] },
      { name: "US", numberPattern: String.raw`^\+1\d{10}$`, trunks: ["us1.contoso.com"] },
      { name: "Germany", numberPattern: String.raw`^\+49\d+$`, callerIdOverride: "+1234567890" },
    ],
  };
  const query = { targetPhoneNumber: "+14251234567" };
  const tested = await call("POST", body, { query, apiVersion: PREVIEW });
  expect(tested).toEqual({ status: 200, body: { matchingRoutes: body.routes.slice(0, 2) } });
  expect(resource.routes).toEqual([]);
});
