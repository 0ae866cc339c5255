import { expect, test } from "vitest";
import { portBase, positiveInteger, readArguments, webhookUrl } from "./usage.ts";

test.each(["0", "-1", "1.5", "", "many", "1000000"])("%j is no whole number from 1 on", (text) => {
  expect(() => positiveInteger("--repeat", text)).toThrow(/^--repeat: .*got "/);
});

test.each(["80", "65501", "", "x", "8900.5"])("%j is no first of four ports", (text) => {
  expect(() => portBase(text)).toThrow(/^--port-base: .*got "/);
});

test.each(["8080/events", "ftp://h/x", "", "http//h"])("%j is no webhook", (text) => {
  expect(() => webhookUrl("--agent", text)).toThrow(/^--agent: .*got "/);
});

test("what is right comes through", () => {
  expect(positiveInteger("--repeat", "20")).toBe(20);
  expect(portBase("8900")).toBe(8900);
  expect(webhookUrl("--agent", "https://h/events?code=1")).toBe("https://h/events?code=1");
});

test("an unknown option is the user's mistake, not a crash", () => {
  expect(() => readArguments({ args: ["--nonsense"], options: {} })).toThrow(
    expect.objectContaining({ code: "USAGE", message: expect.stringContaining("--nonsense") }),
  );
});
