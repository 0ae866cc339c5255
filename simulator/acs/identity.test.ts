import { expect, test } from "vitest";
import { identifierOf, readIdentifier } from "./identity.ts";
import { incomingCallContext, recordingId, seededIds, serverCallId } from "./ids.ts";

test.each([
  ["4:+14255550100", { kind: "phoneNumber", phoneNumber: { value: "+14255550100" } }],
  ["4:anonymous", { kind: "phoneNumber", phoneNumber: { value: "anonymous", isAnonymous: true } }],
  [
    "4:+14255550100_+18005550150",
    { kind: "phoneNumber", phoneNumber: { value: "+14255550100", assertedId: "+18005550150" } },
  ],
  ["8:acs:r_u", { kind: "communicationUser", communicationUser: { id: "8:acs:r_u" } }],
  [
    "8:orgid:u",
    {
      kind: "microsoftTeamsUser",
      microsoftTeamsUser: { userId: "u", isAnonymous: false, cloud: "public" },
    },
  ],
  ["28:gcch:a", { kind: "microsoftTeamsApp", microsoftTeamsApp: { appId: "a", cloud: "gcch" } }],
  ["28:other", { kind: "unknown" }],
])("%s is understood", (rawId, expected) => {
  expect(identifierOf(rawId)).toEqual({ rawId, ...expected });
});

test.each([
  [{ rawId: "4:+14255550100", phoneNumber: { value: "+14255550100", isAnonymous: false } }],
  [{ phoneNumber: { value: "+14255550100" } }],
  [{ kind: "phoneNumber", rawId: "4:+14255550100" }],
])("a request's identifier may leave out kind or rawId: %j", (value) => {
  expect(readIdentifier(value, "target").rawId).toBe("4:+14255550100");
});

test.each([
  [undefined],
  ["4:+1"],
  [{}],
  [{ phoneNumber: { value: "12" } }],
  [{ rawId: "" }],
  [{ rawId: "8:acs:r_u\r\nX: 1" }],
])("%j identifies nobody", (value) => {
  expect(() => readIdentifier(value, "target")).toThrow("The field Target is invalid");
});

test.each([
  [{ rawId: "8:acs:r_u", phoneNumber: { value: "+14255550100" } }],
  [{ kind: "phoneNumber", communicationUser: { id: "8:acs:r_u" } }],
  [{ kind: "communicationUser", rawId: "4:+14255550100" }],
])("%j contradicts itself", (value) => {
  expect(() => readIdentifier(value, "target")).toThrow("The field Target is invalid");
});

test.each([["telephone"], [7]])("a kind of %j is none", (kind) => {
  const value = { kind, phoneNumber: { value: "+14255550100" } };
  expect(() => readIdentifier(value, "target")).toThrow("The field Kind is invalid");
});

test.each(["unknown", "PhoneNumber"])("kind %s leaves the raw id to speak for itself", (kind) => {
  expect(readIdentifier({ kind, rawId: "4:+14255550100" }, "target").kind).toBe("phoneNumber");
});

test("ids have the service's shapes and follow the seed", () => {
  const ids = seededIds(7);
  expect(ids.guid()).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-8[\da-f]{3}-[\da-f]{12}$/);
  expect(seededIds(7).guid()).toBe(seededIds(7).guid());
  expect(seededIds(7).guid()).not.toBe(seededIds(8).guid());
  const server = Buffer.from(serverCallId(ids, new Date(0)), "base64").toString();
  expect(server).toMatch(/^https:\/\/api\.flightproxy\.skype\.com\/.*&e=621355968000000000$/);
  const recording = recordingId(ids);
  expect(recording).not.toContain("=");
  expect(JSON.parse(Buffer.from(recording, "base64").toString())).toHaveProperty(
    "PlatformEndpointId",
  );
  const context = incomingCallContext(ids, {});
  expect(context.split(".")).toHaveLength(3);
  expect(context.length).toBeGreaterThan(6000);
  expect(context.length).toBeLessThan(9000);
});
