import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { createCertificateAuthority } from "../certificates.ts";
import { systemClock } from "../clock.ts";
import type { ListenOptions } from "../sip/listener.ts";
import { silentTrace } from "../trace.ts";
import { connectDrachtio, sendRequest } from "./application.ts";
import { startDrachtioDaemon } from "./daemon.ts";
import { SDP } from "./testing/daemon.ts";
import { answer, header } from "./testing/peer.ts";

const authority = await createCertificateAuthority({ clock: systemClock() });
const tls = await authority.issue({ commonName: "daemon", hosts: ["127.0.0.1"] });
const LISTEN = {
  ws: { transport: "ws", host: "127.0.0.1", port: 0 },
  wss: { transport: "wss", host: "127.0.0.1", port: 0, tls },
} as const satisfies Record<string, ListenOptions>;

async function openDaemon(transport: "ws" | "wss") {
  const daemon = await startDrachtioDaemon({
    clock: systemClock(),
    trace: silentTrace,
    contacts: [LISTEN[transport]],
    resolve: () => undefined,
  });
  onTestFinished(() => daemon[Symbol.asyncDispose]());
  const srf = await connectDrachtio(daemon.control);
  onTestFinished(() => srf[Symbol.asyncDispose]());
  const port = daemon.contacts[0]?.port ?? 0;
  return { daemon, srf, url: `${transport}://127.0.0.1:${port}`, host: `127.0.0.1:${port}` };
}

/** A phone in a browser: SIP over WebSocket, as text. */
async function openBrowser(url: string) {
  const socket = new WebSocket(url, "sip", { ca: authority.certificate });
  onTestFinished(() => socket.close());
  const received: string[] = [];
  const news = new EventTarget();
  socket.on("message", (data: Buffer) => {
    received.push(data.toString());
    news.dispatchEvent(new Event("text"));
  });
  await once(socket, "open");
  return {
    send: (text: string) => socket.send(text.replaceAll(/\r?\n/g, "\r\n")),
    async receive(pattern: RegExp): Promise<string> {
      for (;;) {
        const at = received.findIndex((text) => pattern.test(text));
        if (at !== -1) return received.splice(at, 1)[0] ?? "";
        await once(news, "text", { signal: AbortSignal.timeout(3_000) });
      }
    },
  };
}

/** Browsers write `transport=ws` whether the WebSocket is secure or not (RFC 7118 §5.2). */
const CONTACT = "Contact: <sip:x7@abc.invalid;transport=ws>";

const fromBrowser = (method: string, cseq: number, more = "") => `${method} sip:queue.test SIP/2.0
Via: SIP/2.0/WS abc.invalid;branch=z9hG4bK-${method}-${cseq}
Max-Forwards: 70
From: <sip:agent@queue.test>;tag=r1
To: <sip:agent@queue.test>
Call-ID: ${method}-1
CSeq: ${cseq} ${method}
${CONTACT};expires=60
${more}Content-Length: 0

`;

test.each([
  ["ws", (host: string) => `<sip:${host};transport=ws>`],
  ["wss", (host: string) => `<sips:${host};transport=wss>`],
] as const)(
  "an application calls a phone on the %s it registered with",
  async (transport, contactAt) => {
    const { daemon, srf, url, host } = await openDaemon(transport);
    const registered = new Promise<string>((resolve) => {
      srf.use("register", (req, res) => {
        res.send(200, { headers: { Contact: req.get("Contact"), Expires: "60" } });
        resolve(req.protocol);
      });
    });
    const browser = await openBrowser(url);
    browser.send(fromBrowser("REGISTER", 1));
    expect(await registered).toBe("tcp");
    await browser.receive(/^SIP\/2.0 200/);

    const calling = srf.createUAC("sip:x7@abc.invalid;transport=ws", { localSdp: SDP });
    const invite = await browser.receive(/^INVITE sip:x7@abc.invalid;transport=ws /);
    expect(header(invite, "Contact")).toBe(contactAt(host));
    expect(header(invite, "Via")).toMatch(`SIP/2.0/${transport.toUpperCase()} ${host};`);
    browser.send(answer(invite, "200 OK", [CONTACT, "", SDP]));
    const dialog = await calling;
    expect(await browser.receive(/^ACK/)).toMatch(/^ACK sip:x7@abc.invalid;transport=ws /);
    const ended = new Promise((resolve) => {
      dialog.destroy(undefined, resolve);
    });
    browser.send(answer(await browser.receive(/^BYE/), "200 OK"));
    await ended;
    expect(daemon.load.dialogs).toBe(0);
  },
);

test.each(["ws", "wss"] as const)(
  "a phone calls over %s, and hears of the end on the same connection",
  async (transport) => {
    const { srf, url } = await openDaemon(transport);
    const dialog = new Promise<{ destroy(): void }>((resolve) => {
      srf.invite((req, res) => void srf.createUAS(req, res, { localSdp: SDP }).then(resolve));
    });
    const browser = await openBrowser(url);
    browser.send(fromBrowser("INVITE", 1));
    const ok = await browser.receive(/^SIP\/2.0 200/);
    expect(header(ok, "Via")).toMatch(/^SIP\/2.0\/WS abc.invalid;.*received=127.0.0.1/);
    browser.send(
      fromBrowser("ACK", 1)
        .replaceAll("ACK-1", "INVITE-1")
        .replace(/^To: .*$/m, `To: ${header(ok, "To")}`),
    );
    (await dialog).destroy();
    const bye = await browser.receive(/^BYE/);
    expect(bye).toMatch(/^BYE sip:x7@abc.invalid;transport=ws /);
    browser.send(answer(bye, "200 OK"));
  },
);

test.each(["ws", "wss"] as const)(
  "a keep-alive over %s is answered and disturbs nothing",
  async (transport) => {
    const { srf, url } = await openDaemon(transport);
    srf.use("options", (_, res) => res.send(200));
    const browser = await openBrowser(url);
    browser.send("\r\n\r\n");
    expect(await browser.receive(/^/)).toBe("\r\n");
    browser.send(fromBrowser("OPTIONS", 1));
    await browser.receive(/^SIP\/2.0 200/);
    browser.send("\r\n\r\n");
    expect(await browser.receive(/^/)).toBe("\r\n");
  },
);

test("a phone that does not trust the daemon's certificate does not get through", async () => {
  const { daemon, url } = await openDaemon("wss");
  const socket = new WebSocket(url, "sip");
  const [error] = await once(socket, "error");
  expect(error).toMatchObject({ code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" });
  expect(daemon.load.transactions).toBe(0);
});

test("an unregistered phone cannot be called", async () => {
  const { srf } = await openDaemon("ws");
  const response = sendRequest(srf, "sip:x7@abc.invalid;transport=ws", { method: "OPTIONS" });
  await expect(response).resolves.toMatchObject({ status: 503 });
});
