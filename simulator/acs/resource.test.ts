import { expect, test } from "vitest";
import { createResource, type ResourceOptions } from "./resource.ts";

const TRUNK = { fqdn: "sbc.linecheck.test", sipSignalingPort: 5061 };
const ROUTE = {
  name: "everything",
  numberPattern: String.raw`^\+\d+$`,
  trunks: ["sbc.linecheck.test"],
};

function create(options: Partial<ResourceOptions> = {}) {
  return createResource({
    name: "linecheck",
    domains: ["linecheck.test"],
    trunks: [TRUNK],
    routes: [ROUTE],
    ...options,
  });
}

test("a trunk has the service's defaults", () => {
  expect(create().trunks).toEqual([
    {
      fqdn: "sbc.linecheck.test",
      sipSignalingPort: 5061,
      enabled: true,
      directTransfer: false,
      privacyHeader: "id",
    },
  ]);
});

test("a trunk is found by its name in any case", () => {
  expect(create().trunk("SBC.LineCheck.Test")?.sipSignalingPort).toBe(5061);
  expect(create().trunk("linecheck.test")).toBeUndefined();
});

test("changing a trunk keeps what the change does not mention", () => {
  const resource = create();
  resource.setTrunk({ ...TRUNK, directTransfer: true });
  resource.setTrunk({ ...TRUNK, sipSignalingPort: 5067 });
  expect(resource.trunk("sbc.linecheck.test")).toMatchObject({
    sipSignalingPort: 5067,
    directTransfer: true,
  });
  expect(resource.trunks).toHaveLength(1);
});

test("the domain of a trunk is what follows its first label", () => {
  const trunks = [{ fqdn: "sbc.lab.linecheck.test", sipSignalingPort: 5061 }];
  expect(() => create({ trunks, routes: [] })).toThrow("the domain lab.linecheck.test is not");
  const domains = ["lab.linecheck.test"];
  expect(create({ domains, trunks, routes: [] }).isVerified("sbc.lab.linecheck.test")).toBe(true);
});

test("a domain that is not verified yet carries no trunk", () => {
  const domains = [{ fqdn: "linecheck.test", verified: false }];
  expect(() => create({ domains })).toThrow("not verified");
});

test.each([
  [{ trunks: [{ ...TRUNK, fqdn: "192.0.2.1" }] }, "INVALID_FQDN"],
  [{ trunks: [{ ...TRUNK, fqdn: "sbc" }] }, "INVALID_FQDN"],
  [{ trunks: [{ ...TRUNK, fqdn: `${"a".repeat(50)}.linecheck.test` }] }, "INVALID_FQDN"],
  [{ trunks: [{ ...TRUNK, fqdn: "contoso.onmicrosoft.com" }] }, "INVALID_FQDN"],
  [{ trunks: [{ ...TRUNK, sipSignalingPort: 0 }] }, "INVALID_PORT"],
  [{ trunks: [{ ...TRUNK, sipSignalingPort: 65_536 }] }, "INVALID_PORT"],
  [{ trunks: [{ ...TRUNK, address: "sbc.linecheck.test" }] }, "INVALID_ADDRESS"],
  [{ routes: [{ ...ROUTE, name: "" }] }, "INVALID_ROUTE_NAME"],
  [{ routes: [{ ...ROUTE, name: "a".repeat(257) }] }, "INVALID_ROUTE_NAME"],
  [{ routes: [{ ...ROUTE, description: "a".repeat(1025) }] }, "INVALID_ROUTE"],
  [{ routes: [{ ...ROUTE, numberPattern: "" }] }, "INVALID_PATTERN"],
  [{ routes: [ROUTE, ROUTE] }, "DUPLICATE_ROUTE"],
  [{ routes: [{ ...ROUTE, trunks: [...ROUTE.trunks, ...ROUTE.trunks] }] }, "DUPLICATE_TRUNK"],
  [{ routes: [{ ...ROUTE, trunks: ["other.linecheck.test"] }] }, "UNKNOWN_TRUNK"],
  [{ routes: Array.from({ length: 251 }, () => ROUTE) }, "INVALID_ROUTE"],
  [{ numbers: ["18005550100"] }, "INVALID_NUMBER"],
  [{ accessKey: "not base64!" }, "INVALID_ACCESS_KEY"],
] satisfies [Partial<ResourceOptions>, string][])("%j is refused with %s", (options, code) => {
  expect(() => create(options)).toThrow(expect.objectContaining({ code }));
});

test("a broken pattern is refused with its place", () => {
  const routes = [{ ...ROUTE, numberPattern: String.raw`^\+1(\d{10}$` }];
  expect(() => create({ routes })).toThrow(
    String.raw`route "everything", ^\+1(\d{10}$: at 4, this group is never closed`,
  );
});

test("a pattern that the service stores and that matches nothing is warned of", () => {
  const routes = [ROUTE, { ...ROUTE, name: "docs", numberPattern: String.raw`^+1(\d[10])$` }];
  expect(create({ routes }).warnings).toEqual([
    String.raw`route "docs", ^+1(\d[10])$: at 1, "^+" repeats an anchor; a plus sign is written \+`,
  ]);
});

test("a change of several things happens as a whole or not at all", () => {
  const resource = create();
  const trunks = { "two.linecheck.test": { sipSignalingPort: 5062 }, "sbc.linecheck.test": null };
  expect(() => resource.update({ trunks })).toThrow("names the trunk sbc.linecheck.test");
  expect(resource.trunks.map(({ fqdn }) => fqdn)).toEqual(["sbc.linecheck.test"]);
  resource.update({ trunks, routes: [{ ...ROUTE, trunks: ["two.linecheck.test"] }] });
  expect(resource.trunks.map(({ fqdn }) => fqdn)).toEqual(["two.linecheck.test"]);
});

test("a change can add a domain and a trunk of it, and take both away again", () => {
  const resource = create();
  const fqdn = "sbc.other.test";
  resource.update({ domains: { "other.test": true }, trunks: { [fqdn]: { sipSignalingPort: 1 } } });
  expect(resource.trunk(fqdn)?.sipSignalingPort).toBe(1);
  resource.update({ trunks: { [fqdn]: { directTransfer: true } } });
  expect(resource.trunk(fqdn)).toMatchObject({ sipSignalingPort: 1, directTransfer: true });
  resource.update({ domains: { "other.test": null }, trunks: { [fqdn]: null } });
  expect(resource.trunk(fqdn)).toBeUndefined();
  expect(resource.isVerified(fqdn)).toBe(false);
});

test("a trunk that a route names cannot be deleted", () => {
  const resource = create();
  expect(() => resource.deleteTrunk("SBC.linecheck.test")).toThrow('voice route "everything"');
  resource.setRoutes([]);
  resource.deleteTrunk("SBC.linecheck.test");
  expect(resource.trunks).toEqual([]);
});

test("a deleted trunk is told of once the change has been taken, and one that stays is not", () => {
  const resource = create();
  const told: string[] = [];
  const stop = resource.onTrunkDeleted((fqdn) => told.push(fqdn));
  const change = { trunks: { "SBC.linecheck.test": null } };
  expect(() => resource.update(change)).toThrow("names the trunk sbc.linecheck.test");
  resource.update({ trunks: { "sbc.linecheck.test": { enabled: false } } });
  expect(told).toEqual([]);
  resource.update({ ...change, routes: [] });
  resource.update(change);
  expect(told).toEqual(["sbc.linecheck.test"]);
  resource.setTrunk({ fqdn: "two.linecheck.test", sipSignalingPort: 5_061 });
  resource.deleteTrunk("TWO.linecheck.test");
  expect(told).toEqual(["sbc.linecheck.test", "two.linecheck.test"]);
  stop();
  resource.setTrunk({ fqdn: "two.linecheck.test", sipSignalingPort: 5_061 });
  resource.deleteTrunk("two.linecheck.test");
  expect(told).toHaveLength(2);
});

test("a refused list of routes leaves the old one in place", () => {
  const resource = create();
  expect(() => resource.setRoutes([{ ...ROUTE, numberPattern: "(" }])).toThrow("never closed");
  expect(resource.routesFor("+18005550150").map(({ name }) => name)).toEqual(["everything"]);
});

test("key and id are made up when none are given", () => {
  const [first, second] = [create(), create()];
  expect(Buffer.from(first.accessKey, "base64")).toHaveLength(64);
  expect(first.accessKey).not.toBe(second.accessKey);
  expect(first.resourceId).toMatch(/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/);
});
