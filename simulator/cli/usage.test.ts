import { expect, test } from "vitest";
import {
  portBase,
  positiveInteger,
  readArguments,
  usesRunningDaemons,
  webhookUrl,
} from "./usage.ts";

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

test.each([
  [undefined, false],
  ["embedded", false],
  ["docker", false],
  ["dockerhost:9022", true],
])("LINECHECK_DRACHTIO=%s: running daemons %s", (choice, running) => {
  const environment = { LINECHECK_DRACHTIO: choice, LINECHECK_CERTIFICATES: "out/certificates" };
  expect(usesRunningDaemons(environment)).toBe(running);
});

test("running daemons want the folder that the SBC's certificate is from", () => {
  expect(() => usesRunningDaemons({ LINECHECK_DRACHTIO: "127.0.0.1:9022" })).toThrow(
    expect.objectContaining({ code: "USAGE", message: expect.stringContaining("certificates") }),
  );
});
