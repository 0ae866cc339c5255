import { expect, test } from "vitest";
import { manualClock } from "../clock.ts";
import { parseContact, Registrar } from "./registrar.ts";

test("a Contact header is taken apart into URI and life", () => {
  expect(parseContact("<sip:a@b.invalid;transport=ws>;expires=60")).toEqual({
    contact: "sip:a@b.invalid;transport=ws",
    expiresSeconds: 60,
  });
  expect(parseContact('"Human" <sip:a@b>;+sip.instance="<urn:x>"')).toEqual({ contact: "sip:a@b" });
  expect(parseContact("sip:a@b")).toEqual({ contact: "sip:a@b" });
});

test("a phone is reachable until its registration runs out", async () => {
  const clock = manualClock();
  const registrar = new Registrar({ clock, maxExpiresSeconds: 100 });

  const one = registrar.register({ number: "+1", contact: "sip:one@x", expiresSeconds: 60 });
  const two = registrar.register({ number: "+2", contact: "sip:two@x" });
  const three = registrar.register({ number: "+3", contact: "sip:x@x", expiresSeconds: 900 });
  expect([one, two, three].map((each) => each?.expiresSeconds)).toEqual([60, 100, 100]);
  expect(registrar.bindings().map(({ number }) => number)).toEqual(["+1", "+2", "+3"]);
  await clock.advance(60_000);
  expect(registrar.bindings().map(({ number }) => number)).toEqual(["+2", "+3"]);
});

test("registering again replaces, and 0 seconds removes", () => {
  const registrar = new Registrar({ clock: manualClock() });
  registrar.register({ number: "+1", contact: "sip:old@x" });
  registrar.register({ number: "+1", contact: "sip:new@x" });
  expect(registrar.bindings()).toEqual([
    { number: "+1", contact: "sip:new@x", expiresAtMs: 600_000 },
  ]);

  const removed = registrar.register({ number: "+1", contact: "sip:new@x", expiresSeconds: 0 });
  expect(removed).toEqual({ expiresSeconds: 0 });
  expect(registrar.bindings()).toEqual([]);
});

test("a full registrar grants nothing", () => {
  const registrar = new Registrar({ clock: manualClock(), maxBindings: 1 });
  registrar.register({ number: "+1", contact: "sip:one@x" });

  expect(registrar.register({ number: "+2", contact: "sip:two@x" })).toBeUndefined();
});

test("a REGISTER without a contact asks and changes nothing", async () => {
  const clock = manualClock();
  const registrar = new Registrar({ clock });
  registrar.register({ number: "+1", contact: "sip:one@x", expiresSeconds: 60 });
  await clock.advance(20_000);

  expect(registrar.register({ number: "+1" })).toEqual({
    contact: "sip:one@x",
    expiresSeconds: 40,
  });
  expect(registrar.register({ number: "+2" })).toEqual({ expiresSeconds: 0 });
  expect(registrar.bindings()).toHaveLength(1);
});
