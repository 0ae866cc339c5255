import { once } from "node:events";
import { createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { connectDrachtio } from "./application.ts";
import { openTestDaemon, request } from "./testing/daemon.ts";

test("a connected application knows where its daemon speaks SIP", async () => {
  await using lab = await openTestDaemon();
  expect(lab.srf.hostPorts).toEqual([`udp/127.0.0.1:${lab.port}`]);
});

test("a wrong secret is told at once and not tried again", async () => {
  await using lab = await openTestDaemon();
  const refused = connectDrachtio({ ...lab.daemon.control, secret: "wrong" });
  await expect(refused).rejects.toMatchObject({
    code: "DRACHTIO_CONNECT",
    message: expect.stringContaining("refused the secret"),
  });
});

test("a port where no daemon is fails with its address", async () => {
  const refused = connectDrachtio({ host: "127.0.0.1", port: 1, secret: "cymru" });
  await expect(refused).rejects.toThrow("no drachtio daemon at 127.0.0.1:1");
});

test("a daemon that never answers is waited for until the signal", async () => {
  const silent = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
  onTestFinished(() => void silent.close());
  await once(silent, "listening");
  const { port } = silent.address() as { port: number };
  const signal = AbortSignal.timeout(50);
  const waiting = connectDrachtio({ host: "127.0.0.1", port, secret: "cymru", signal });
  await expect(waiting).rejects.toMatchObject({ name: "TimeoutError" });
});

test("disposing twice is fine, and the daemon takes new applications", async () => {
  await using lab = await openTestDaemon();
  await lab.srf[Symbol.asyncDispose]();
  await lab.srf[Symbol.asyncDispose]();
  await using next = await connectDrachtio(lab.daemon.control);
  next.use("options", (_, res) => res.send(200));
  lab.peer.send(request("OPTIONS"));
  expect(await lab.peer.receive(/^SIP\/2.0/)).toMatch(/^SIP\/2.0 200/);
});

test("an application survives a daemon that is restarted on the same port", async () => {
  await using lab = await openTestDaemon();
  lab.srf.use("options", (_, res) => res.send(200));
  const { port } = lab.daemon.control;
  await once(lab.srf, "connect");
  const reconnected = once(lab.srf, "connect");
  await lab.daemon[Symbol.asyncDispose]();
  await using again = await openTestDaemon({ control: { port } });
  await reconnected;
  again.peer.send(request("OPTIONS"));
  expect(await again.peer.receive(/^SIP\/2.0/)).toMatch(/^SIP\/2.0 200/);
});
