import { expect, test } from "vitest";
import { routeFor, toE164 } from "./numbers.ts";

const US = { countryCode: "1", internationalPrefix: "011", nationalPrefix: "1" };
const DE = { countryCode: "49", internationalPrefix: "00", nationalPrefix: "0" };

test.for([
  ["+14255550100", undefined, "+14255550100"],
  ["+1 (425) 555-0100", undefined, "+14255550100"],
  ["14255550100", undefined, undefined],
  ["4255550100", US, "+14255550100"],
  ["14255550100", US, "+14255550100"],
  ["011493012345678", US, "+493012345678"],
  ["03012345678", DE, "+493012345678"],
  ["0014255550100", DE, "+14255550100"],
  ["+0425555010", undefined, undefined],
  ["+123456", undefined, undefined],
  ["+1234567890123456", undefined, undefined],
  ["anonymous", US, undefined],
  ["", undefined, undefined],
] as const)("%s under plan %o reads %s", ([number, plan, e164]) => {
  expect(toE164(number, plan)).toBe(e164);
});

test("a call from Microsoft is never routed back to Microsoft", () => {
  const routes = [
    { number: /^\+1800/, to: "microsoft" },
    { number: "+18005550150", to: "sip:192.0.2.1:5060" },
  ];

  expect(routeFor(routes, "+18005550150", "trunk")?.to).toBe("microsoft");
  expect(routeFor(routes, "+18005550150", "domain")?.to).toBe("sip:192.0.2.1:5060");
  expect(routeFor(routes, "+18005550100", "domain")).toBeUndefined();
  expect(routeFor(routes, "+4930123456", "trunk")).toBeUndefined();
});
