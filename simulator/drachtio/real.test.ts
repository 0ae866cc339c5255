import { expect, test } from "vitest";
import { createCertificateAuthority } from "../certificates.ts";
import { systemClock } from "../clock.ts";
import { silentTrace } from "../trace.ts";
import { connectDrachtio } from "./application.ts";
import { type DrachtioDaemonOptions, startDrachtioDaemon } from "./daemon.ts";
import { type ContainerWish, drachtioStarter, parseDrachtioChoice } from "./real.ts";

const clock = systemClock();
const udp = { transport: "udp", host: "127.0.0.1", port: 0 } as const;

function options(more: Partial<DrachtioDaemonOptions> = {}): DrachtioDaemonOptions {
  return { clock, trace: silentTrace, contacts: [udp], ...more };
}

test.each([
  [undefined, { kind: "embedded" }],
  ["", { kind: "embedded" }],
  ["docker", { kind: "docker", image: "drachtio/drachtio-server:0.9.11" }],
  ["docker=my/drachtio:1", { kind: "docker", image: "my/drachtio:1" }],
  [
    "10.0.0.1,hush@[::1]:9023",
    {
      kind: "address",
      addresses: [
        { host: "10.0.0.1", port: 9022, secret: "cymru" },
        { host: "::1", port: 9023, secret: "hush" },
      ],
    },
  ],
])("LINECHECK_DRACHTIO=%s is read", (text, choice) => {
  expect(parseDrachtioChoice(text)).toEqual(choice);
});

test("without a choice the daemon is the embedded one", async () => {
  await using daemon = await drachtioStarter(parseDrachtioChoice(undefined))(options());
  await using srf = await connectDrachtio(daemon.control);
  expect(srf.hostPorts).toEqual([`udp/${daemon.contacts[0]?.hostPort}`]);
});

test("running daemons are handed out in order, with the contacts they say they have", async () => {
  await using first = await startDrachtioDaemon(options());
  await using second = await startDrachtioDaemon(options({ secret: "hush" }));
  const text = `127.0.0.1:${first.control.port},hush@127.0.0.1:${second.control.port}`;
  const start = drachtioStarter(parseDrachtioChoice(text));
  await using a = await start(options());
  await using b = await start(options());
  expect([a.contacts, b.contacts]).toEqual([first.contacts, second.contacts]);
  await expect(start(options())).rejects.toThrow("the list names 2 daemons, one more is needed");
});

test("a running daemon without a transport that is needed is refused by name", async () => {
  await using daemon = await startDrachtioDaemon(options());
  const start = drachtioStarter(parseDrachtioChoice(`127.0.0.1:${daemon.control.port}`));
  const ws = { transport: "ws", host: "127.0.0.1", port: 0 } as const;
  await expect(start(options({ contacts: [udp, ws] }))).rejects.toThrow("does not listen on ws");
});

test("a daemon that does not run is an error with its address", async () => {
  const start = drachtioStarter(parseDrachtioChoice("127.0.0.1:1"));
  await expect(start(options())).rejects.toThrow("no drachtio daemon at 127.0.0.1:1");
});

test("a container gets the contacts, the secret and the certificate, and is stopped once", async () => {
  const authority = await createCertificateAuthority({ clock });
  const tls = await authority.issue({ commonName: "sbc", hosts: ["sbc"] });
  const wishes: ContainerWish[] = [];
  let stopped = 0;
  // An embedded daemon stands where the container would.
  const run = async (wish: ContainerWish) => {
    wishes.push(wish);
    const port = Number(wish.command[wish.command.indexOf("--port") + 1]);
    const daemon = await startDrachtioDaemon(options({ control: { port }, secret: "hush" }));
    return {
      async stop() {
        stopped += 1;
        await daemon[Symbol.asyncDispose]();
      },
    };
  };
  const start = drachtioStarter(parseDrachtioChoice("docker"), { run });
  const contacts = [udp, { transport: "tls", host: "127.0.0.1", port: 0, tls } as const];
  const daemon = await start(options({ contacts, secret: "hush" }));
  const [wish] = wishes;
  const [first, second] = daemon.contacts;
  expect(wish?.image).toBe("drachtio/drachtio-server:0.9.11");
  expect(wish?.command.slice(0, 5)).toEqual([
    "drachtio",
    "--contact",
    `sip:127.0.0.1:${first?.port};transport=udp`,
    "--contact",
    `sips:127.0.0.1:${second?.port};transport=tls`,
  ]);
  expect(wish?.command).toContain("hush");
  expect(wish?.files.map(({ content }) => content)).toEqual([tls.key, tls.cert]);
  await using srf = await connectDrachtio(daemon.control);
  expect(srf.hostPorts).toHaveLength(1);
  await daemon[Symbol.asyncDispose]();
  await daemon[Symbol.asyncDispose]();
  expect(stopped).toBe(1);
});

test("an image that cannot be had is one line", async () => {
  const denied = new Error("pull access denied\nmore\nlines");
  const start = drachtioStarter(parseDrachtioChoice("docker"), {
    run: () => Promise.reject(denied),
  });
  await expect(start(options())).rejects.toMatchObject({
    code: "DRACHTIO_UNAVAILABLE",
    message: "cannot run drachtio/drachtio-server:0.9.11: pull access denied",
  });
});

test("a container that never answers is stopped and named", async () => {
  let stopped = false;
  const run = async () => ({
    async stop() {
      stopped = true;
    },
  });
  const start = drachtioStarter(parseDrachtioChoice("docker"), { run, timeoutMs: 250 });
  await expect(start(options())).rejects.toThrow(/^no daemon at 127.0.0.1:\d+ within 250 ms$/);
  expect(stopped).toBe(true);
});
