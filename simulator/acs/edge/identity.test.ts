import { expect, test } from "vitest";
import { seededIds } from "../ids.ts";
import { apiHost, carriesIdentity, createIdentity, replacementUri } from "./identity.ts";

const GUID = "3b6a2c1e-0000-4000-8000-5d3c2b1a0f9e";

function create(origin: "sbc" | "microsoft" = "sbc") {
  return createIdentity({ ids: seededIds(1), correlationId: GUID, region: "USEA.5", origin });
}

test("the Contact has no user, port 443 and both parameters", () => {
  expect(create().contactUri).toMatch(
    new RegExp(
      `^sip:api-du-a-usea\\.pstnhub\\.microsoft\\.com:443;x-i=${GUID};x-c=[\\da-f]{32}/s/1/[\\da-f]{32}$`,
    ),
  );
  expect(create("microsoft").xC).toMatch(/^[\da-f]{32}\/d\/8\/[\da-f]{32}$/);
});

test("a request that returns the Contact untouched belongs to the dialog", () => {
  const identity = create();
  expect(carriesIdentity(identity.contactUri, identity)).toBe(true);
  expect(carriesIdentity(`${identity.contactUri};transport=tls`, identity)).toBe(true);
  expect(carriesIdentity("sip:api-du-a-usea.pstnhub.microsoft.com:443", identity)).toBe(false);
  expect(carriesIdentity(identity.contactUri.replace(/x-c=./, "x-c=z"), identity)).toBe(false);
  expect(carriesIdentity("tel:+18005550100", identity)).toBe(false);
});

test("the region's name is part of the host", () => {
  expect(apiHost("USWE2.3")).toBe("api-du-a-uswe2.pstnhub.microsoft.com");
});

test("the replacement URI decodes to the documented address", () => {
  const text = replacementUri("USEA.5", "0f".repeat(16));
  expect(text).not.toContain("=");
  expect(Buffer.from(text.replaceAll("%3D", "="), "base64").toString()).toBe(
    `https://api-du-a-usea.pstnhub.microsoft.com/v1/ngc/callnotification?dci=${"0f".repeat(16)}`,
  );
});
