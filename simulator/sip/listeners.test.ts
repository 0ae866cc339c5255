import { expect, test } from "vitest";
import { Listeners } from "./listeners.ts";

function start() {
  const faults: unknown[] = [];
  const heard: string[] = [];
  const listeners = new Listeners<[string]>((error) => faults.push(error));
  return { faults, heard, listeners };
}

test("who comes late hears what came before, once", () => {
  const { heard, listeners } = start();
  listeners.tell("one");
  listeners.add((news) => void heard.push(news));
  listeners.tell("two");
  expect(heard).toEqual(["one", "two"]);
});

test("a listener added by another one hears the same news once", () => {
  const { heard, listeners } = start();
  const stop = listeners.add(() => {
    stop();
    listeners.add((news) => void heard.push(news));
  });
  listeners.tell("one");
  expect(heard).toEqual(["one"]);
});

test("a listener taken off by another one hears no more", () => {
  const { heard, listeners } = start();
  const stops: (() => void)[] = [];
  listeners.add(() => stops[0]?.());
  stops.push(listeners.add((news) => void heard.push(news)));
  listeners.tell("one");
  expect(heard).toEqual([]);
});

test("a listener that throws is reported, and the others are told all the same", () => {
  const { faults, heard, listeners } = start();
  const error = new Error("broken");
  listeners.add(() => {
    throw error;
  });
  listeners.add((news) => void heard.push(news));
  listeners.tell("one");
  expect([heard, faults]).toEqual([["one"], [error]]);
});
