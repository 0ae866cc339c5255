import type Srf from "drachtio-srf";
import { systemClock } from "../../clock.ts";
import { connectDrachtio } from "../../drachtio/application.ts";
import { startDrachtioDaemon } from "../../drachtio/daemon.ts";
import { openMediaSession } from "../../media/session.ts";
import { openTrace, silentTrace } from "../../trace.ts";
import { type PhoneOptions, startPhone } from "../phone.ts";

/** A SIP server over WebSocket with a drachtio application, and a phone that is connected to it. */
export async function openTestServer(options: Partial<PhoneOptions> = {}) {
  await using opened = new AsyncDisposableStack();
  const clock = systemClock();
  const contacts = [{ transport: "ws", host: "127.0.0.1", port: 0 }] as const;
  const daemon = opened.use(await startDrachtioDaemon({ clock, trace: silentTrace, contacts }));
  const srf = opened.use(await connectDrachtio(daemon.control));
  const trace = openTrace({ clock });
  const phone = opened.use(
    await startPhone({
      clock,
      trace: trace.as("phone"),
      server: `ws://127.0.0.1:${daemon.contacts[0]?.port}`,
      number: "+14255550100",
      displayName: "Dana Miller",
      ...options,
    }),
  );
  const resources = opened.move();
  return {
    clock,
    daemon,
    srf,
    phone,
    trace,
    media: async (call: string) =>
      resources.use(await openMediaSession({ clock, trace: silentTrace, call })),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Grants every registration, or refuses it; resolves with the contact of the first one. */
export function acceptRegistrations(srf: Srf, { status = 200, grantSeconds = 600 } = {}) {
  const contact = Promise.withResolvers<string>();
  const seen: number[] = [];
  srf.use("register", (req, res) => {
    const header = req.get("Contact");
    const asked = Number(req.get("Expires"));
    const granted = Math.min(asked, grantSeconds);
    seen.push(asked);
    contact.resolve(/<([^>]*)>/.exec(header)?.[1] ?? "");
    const bound = { Contact: header.replace(/expires=\d+/, `expires=${granted}`) };
    res.send(status, { headers: { ...bound, Expires: String(granted) } });
  });
  return { contact: contact.promise, seen };
}
