import { expect, test } from "vitest";
import { parseFlags, tableOf } from "./flags.ts";

test("contacts become listeners, one per transport", () => {
  const { contacts, control, secret } = parseFlags([
    "--contact",
    "sip:*:5080;transport=udp,tcp",
    "--contact",
    "sip:10.0.0.1;transport=udp",
    "--external-ip",
    "192.0.2.1",
    "--port",
    "0",
  ]);
  expect(contacts).toEqual([
    { transport: "udp", host: "0.0.0.0", port: 5080 },
    { transport: "tcp", host: "0.0.0.0", port: 5080 },
    { transport: "udp", host: "10.0.0.1", port: 5060, advertise: { host: "192.0.2.1" } },
  ]);
  expect([control, secret]).toEqual([{ host: "127.0.0.1", port: 0 }, "cymru"]);
});

test("a handler is asked about every method, and log levels change nothing", () => {
  const { handlers } = parseFlags(
    "--http-handler http://127.0.0.1:3000/ --http-method post --loglevel debug --sofia-loglevel 9".split(
      " ",
    ),
  );
  expect(handlers).toEqual([{ method: "*", url: "http://127.0.0.1:3000/", httpMethod: "POST" }]);
});

test("names are looked up in the table, with their port or the one asked for", () => {
  const table = tableOf(
    parseFlags(["--host", "A.test=10.0.0.1:5070", "--host", "b=10.0.0.2"]).hosts,
  );
  expect(table("a.TEST", 5060)).toEqual({ host: "10.0.0.1", port: 5070 });
  expect(table("b", 5090)).toEqual({ host: "10.0.0.2", port: 5090 });
  expect(table("b", undefined)).toEqual({ host: "10.0.0.2", port: 5060 });
  expect(table("c", 5060)).toBeUndefined();
});

test.each([
  [["--contact", "sip:127.0.0.1;transport=sctp"], "no transport sctp"],
  [["--host", "a=b"], "expected name=address[:port]"],
  [["--port", "x"], 'expected a port, got "x"'],
  [["--tls-port", "9023"], "--tls-port needs --key-file and --cert-file"],
  [["--http-handler", "http://h", "--http-method", "PUT"], "expected GET or POST"],
  [["--loud"], "Unknown option"],
])("%s is refused", (args, why) => {
  expect(() => parseFlags(args)).toThrow(why);
});
