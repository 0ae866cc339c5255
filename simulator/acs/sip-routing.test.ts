import { SipRoutingClient } from "@azure/communication-phone-numbers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createResource, type Resource } from "./resource.ts";
import { RESOURCE, startTestLab, type TestLab } from "./testing/lab.ts";
import { refusalOf } from "./testing/sdk.ts";
import { trunkOperations } from "./trunk-rest.ts";

const US = String.raw`^\+1\d{10}$`;
const FIRST = { fqdn: "one.contoso.test", sipSignalingPort: 5061 };
const SECOND = { fqdn: "two.contoso.test", sipSignalingPort: 5062 };

let lab: TestLab;
let resource: Resource;
let client: SipRoutingClient;

beforeEach(async () => {
  resource = createResource({ ...RESOURCE, domains: ["contoso.test"] });
  lab = await startTestLab({ resource, operations: trunkOperations({ resource }) });
  client = connect(lab.acs.connectionString);
});
afterEach(() => lab[Symbol.asyncDispose]());

function connect(connectionString: string): SipRoutingClient {
  const retryOptions = { maxRetries: 0 };
  return new SipRoutingClient(connectionString, { allowInsecureConnection: true, retryOptions });
}

const route = (name: string, numberPattern = US, trunks: string[] = []) => ({
  name,
  numberPattern,
  trunks,
});

test("trunks are set, listed, found, changed and deleted", async () => {
  expect(await client.setTrunks([FIRST, SECOND])).toEqual([FIRST, SECOND]);
  expect(await Array.fromAsync(client.listTrunks())).toEqual([FIRST, SECOND]);
  expect(await client.getTrunk(SECOND.fqdn)).toEqual(SECOND);
  expect(await client.setTrunk({ ...FIRST, sipSignalingPort: 7061 })).toEqual({
    ...FIRST,
    sipSignalingPort: 7061,
  });
  await client.deleteTrunk(FIRST.fqdn);
  expect(resource.trunks.map(({ fqdn }) => fqdn)).toEqual([SECOND.fqdn]);
});

test("setting the list of trunks takes those away that it does not name", async () => {
  await client.setTrunks([FIRST, SECOND]);
  expect(await client.setTrunks([SECOND])).toEqual([SECOND]);
  expect(await client.setTrunks([])).toEqual([]);
  expect(resource.trunks).toEqual([]);
});

test("a trunk keeps what this client does not know of it", async () => {
  resource.setTrunk({ ...FIRST, directTransfer: true });
  await client.setTrunk({ ...FIRST, sipSignalingPort: 7061 });
  expect(resource.trunk(FIRST.fqdn)).toMatchObject({
    directTransfer: true,
    sipSignalingPort: 7061,
  });
});

test("routes are set as a whole and listed in their order", async () => {
  await client.setTrunks([FIRST]);
  const routes = [
    { ...route("Seattle", String.raw`^\+1206\d{7}$`, [FIRST.fqdn]), description: "the nearest" },
    route("US"),
  ];
  expect(await client.setRoutes(routes)).toEqual(routes);
  expect(await client.setRoutes(routes.toReversed())).toEqual(routes.toReversed());
  expect(await Array.fromAsync(client.listRoutes())).toEqual(routes.toReversed());
  expect(await client.setRoutes([])).toEqual([]);
});

test("pages are one each", async () => {
  await client.setTrunks([FIRST]);
  await client.setRoutes([route("US")]);
  expect(await Array.fromAsync(client.listTrunks().byPage())).toEqual([[FIRST]]);
  expect(await Array.fromAsync(client.listRoutes().byPage())).toEqual([[route("US")]]);
});

test("a trunk that nobody set is not found", async () => {
  await expect(client.getTrunk("none.contoso.test")).rejects.toEqual({
    code: "NotFound",
    message: "Not Found",
  });
});

const REFUSED: readonly [what: string, attempt: (sdk: SipRoutingClient) => Promise<unknown>][] = [
  ["a trunk without a host name", (sdk) => sdk.setTrunk({ fqdn: "_", sipSignalingPort: 5061 })],
  ["a port that is none", (sdk) => sdk.setTrunk({ ...FIRST, sipSignalingPort: 70_000 })],
  ["a domain not verified", (sdk) => sdk.setTrunk({ ...FIRST, fqdn: "sbc.fabrikam.test" })],
  ["one bad trunk of two", (sdk) => sdk.setTrunks([FIRST, { ...SECOND, sipSignalingPort: 0 }])],
  ["a route without a name", (sdk) => sdk.setRoutes([route("")])],
  ["a broken pattern", (sdk) => sdk.setRoutes([route("US", "^(1")])],
  ["a trunk that is missing", (sdk) => sdk.setRoutes([route("US", US, [FIRST.fqdn])])],
  ["a trunk named twice", (sdk) => sdk.setRoutes([route("US", US, ["a.b.test", "a.b.test"])])],
  ["two routes of one name", (sdk) => sdk.setRoutes([route("US"), route("US")])],
];

test.each(REFUSED)("%s is refused in the SDK's terms, and changes nothing", async (_, attempt) => {
  expect(await refusalOf(attempt(client))).toEqual({
    statusCode: expect.toBeOneOf([400, 422]),
    code: "UnprocessableConfiguration",
    message: "One or more request inputs are not valid.",
  });
  expect([resource.trunks, resource.routes]).toEqual([[], []]);
});

test("a trunk in use is not deleted", async () => {
  await client.setTrunks([FIRST]);
  await client.setRoutes([route("US", US, [FIRST.fqdn])]);
  expect(await refusalOf(client.deleteTrunk(FIRST.fqdn))).toMatchObject({ statusCode: 422 });
  expect(await client.getTrunk(FIRST.fqdn)).toEqual(FIRST);
});

test("nothing is told or changed with a wrong key", async () => {
  const stranger = connect(lab.acs.connectionString.replace(/accesskey=.*/, "accesskey=d3Jvbmc="));
  for (const attempt of [stranger.setTrunk(FIRST), stranger.getTrunk(FIRST.fqdn)]) {
    expect(await refusalOf(attempt)).toMatchObject({ statusCode: 401, code: "7509" });
  }
  expect(resource.trunks).toEqual([]);
});

test("a trunk set by this client carries calls, and by a route of it they go out", async () => {
  await client.setTrunks([FIRST]);
  await client.setRoutes([route("US", US, [FIRST.fqdn])]);
  expect(resource.routesFor("+14255550100").flatMap(({ trunks }) => trunks)).toEqual([FIRST.fqdn]);
});
