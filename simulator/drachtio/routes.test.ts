import { expect, test } from "vitest";
import { Routes } from "./routes.ts";

test("applications take turns", () => {
  const routes = new Routes<string>();
  for (const name of ["a", "b", "c"]) routes.add("invite", name);
  const order = Array.from({ length: 5 }, () => routes.next("invite"));
  expect(order).toEqual(["a", "b", "c", "a", "b"]);
});

test("a route that is repeated does not skew the turns", () => {
  const routes = new Routes<string>();
  for (const name of ["a", "b", "a", "a"]) routes.add("invite", name);
  expect(["a", "b", "a", "b"].map(() => routes.next("invite"))).toEqual(["a", "b", "a", "b"]);
});

test("a removed route stays away from its application, the others go on", () => {
  const routes = new Routes<string>();
  for (const name of ["a", "b"]) routes.add("invite", name);
  routes.add("options", "a");
  routes.remove("invite", "a");
  expect([routes.next("invite"), routes.next("invite"), routes.next("options")]).toEqual([
    "b",
    "b",
    "a",
  ]);
});

test("an application that left takes nothing", () => {
  const routes = new Routes<string>();
  routes.add("invite", "a");
  routes.add("bye", "a");
  routes.removeAll("a");
  expect([routes.next("invite"), routes.has("bye")]).toEqual([undefined, false]);
});
