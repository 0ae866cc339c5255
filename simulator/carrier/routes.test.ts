import { expect, test } from "vitest";
import { numberAt, routeFor } from "./routes.ts";

const ROUTES = [
  { number: "+18005551234", to: "sip:192.0.2.1:5060" },
  { number: /^\+1800/, to: "sip:192.0.2.2:5060;transport=tcp" },
];

test("the first route that fits a number wins", () => {
  expect(routeFor(ROUTES, "+18005551234")?.to).toBe("sip:192.0.2.1:5060");
  expect(routeFor(ROUTES, "+18005559999")?.to).toBe("sip:192.0.2.2:5060;transport=tcp");
  expect(routeFor(ROUTES, "+14255550100")).toBeUndefined();
});

test("the number is put into the server's URI, in place of another user", () => {
  expect(numberAt("+1", "sip:192.0.2.1:5060")).toBe("sip:+1@192.0.2.1:5060");
  expect(numberAt("+1", "sips:x@host;transport=tcp")).toBe("sips:+1@host;transport=tcp");
});
