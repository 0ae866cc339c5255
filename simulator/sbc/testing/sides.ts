import type Srf from "drachtio-srf";
import { systemClock } from "../../clock.ts";
import { type DrachtioDaemon, startDrachtioDaemon } from "../../drachtio/daemon.ts";
import { type Invitation, serveInvites } from "../../drachtio/invitation.ts";
import { answer, header, openTestPeer, type TestPeer } from "../../drachtio/testing/peer.ts";
import { openMediaSession } from "../../media/session.ts";
import { openTrace, silentTrace, type Trace } from "../../trace.ts";
import { Waiting } from "../../waiting.ts";
import { type SbcOptions, startSbc } from "../sbc.ts";

/** Certificates of one test run; making them is the slow part. */
export interface TestCertificates {
  authority: string;
  sbc: { key: string; cert: string };
  microsoft: { key: string; cert: string };
}

/** The part of `simulator/certificates.ts` that is needed here. */
interface Issuer {
  certificate: string;
  issue(options: { commonName: string; hosts: string[] }): Promise<{ key: string; cert: string }>;
}

export async function issueCertificates(ca: Issuer): Promise<TestCertificates> {
  const [sbc, microsoft] = await Promise.all([
    ca.issue({ commonName: FQDN, hosts: [FQDN, HOST] }),
    ca.issue({ commonName: MICROSOFT, hosts: ["*.pstnhub.microsoft.com", HOST] }),
  ]);
  return { authority: ca.certificate, sbc, microsoft };
}

export const FQDN = "sbc.linecheck.test";
const MICROSOFT = "sip.pstnhub.microsoft.com";
const HOST = "127.0.0.1";
const clock = systemClock();

export type TestSides = Awaited<ReturnType<typeof openTestSides>>;

/**
 * An SBC with a raw SIP peer on its trunk side and a drachtio application, with its own TLS daemon,
 * in Microsoft's place. `deadProxies` stand before it in the list and refuse connections.
 */
export async function openTestSides(
  certificates: TestCertificates,
  { deadProxies = 0, ...options }: Partial<SbcOptions> & { deadProxies?: number } = {},
) {
  await using opened = new AsyncDisposableStack();
  const trace = openTrace({ clock });
  const daemons = opened.use(await startDaemons(certificates, trace));
  const microsoft = opened.use(await startMicrosoft(daemons.microsoft, trace));
  const [udp, tls] = daemons.sbc.contacts;
  const ports = { sbc: tls?.port ?? 0, microsoft: daemons.microsoft.contacts[0]?.port ?? 0 };
  const trunk = opened.use(await openTestPeer({ peer: udp?.port ?? 0 }));
  const dead = Array.from({ length: deadProxies }, (_, index) => ({
    name: `dead${index}.pstnhub.microsoft.com`,
    host: HOST,
    port: 1,
  }));
  const sbc = opened.use(
    await startSbc({
      clock,
      trace: trace.as("sbc"),
      drachtio: daemons.sbc.control,
      fqdn: FQDN,
      domainSide: {
        port: ports.sbc,
        proxies: [...dead, { name: MICROSOFT, host: HOST, port: ports.microsoft }],
      },
      trunkSide: {},
      routes: [
        { number: "+18005550100", to: "microsoft" },
        { number: "+18005550150", to: `sip:${HOST}:${trunk.port}` },
      ],
      ...options,
    }),
  );
  const resources = opened.move();
  return {
    trace,
    sbc,
    trunk,
    microsoft,
    ports,
    trunkAddress: { host: HOST, port: udp?.port ?? 0 },
    /** Next hop for calls from Microsoft to the SBC. */
    proxy: `sip:${HOST}:${ports.sbc};transport=tls`,
    load: () => daemons.sbc.load,
    media: async (side: "trunk" | "domain") => {
      const srtp = side === "domain" ? "required" : "off";
      return resources.use(await openMediaSession({ clock, trace: silentTrace, srtp }));
    },
    async [Symbol.asyncDispose]() {
      const end = trunk.receive(/^BYE/).then((bye) => trunk.send(answer(bye, "200 OK")));
      end.catch(() => {});
      await resources.disposeAsync();
    },
  };
}

async function startDaemons(certificates: TestCertificates, trace: Trace) {
  await using opened = new AsyncDisposableStack();
  const ports = { sbc: 0, microsoft: 0 };
  const resolve = (host: string) => ({
    host: HOST,
    port: host === FQDN ? ports.sbc : ports.microsoft,
  });
  const tls = (own: { key: string; cert: string }) => {
    const trust = { ...own, ca: certificates.authority };
    const server = { ...trust, requestCert: true, rejectUnauthorized: true };
    return { transport: "tls", host: HOST, port: 0, tls: server, clientTls: trust } as const;
  };
  const udp = { transport: "udp", host: HOST, port: 0 } as const;
  const start = async (
    party: "sbc" | "acs",
    contacts: Parameters<typeof startDrachtioDaemon>[0]["contacts"],
  ) => opened.use(await startDrachtioDaemon({ clock, resolve, trace: trace.as(party), contacts }));
  const sbc: DrachtioDaemon = await start("sbc", [udp, tls(certificates.sbc)]);
  const microsoft: DrachtioDaemon = await start("acs", [tls(certificates.microsoft)]);
  ports.sbc = sbc.contacts[1]?.port ?? 0;
  ports.microsoft = microsoft.contacts[0]?.port ?? 0;
  const resources = opened.move();
  return { sbc, microsoft, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

async function startMicrosoft({ control }: DrachtioDaemon, trace: Trace) {
  const invitations = new Waiting<Invitation>({ clock, what: "INVITE at Microsoft", limit: 10 });
  const pings = new Waiting<Srf.SrfRequest>({ clock, what: "OPTIONS at Microsoft", limit: 10 });
  const server = await serveInvites({
    drachtio: control,
    trace: trace.as("acs"),
    handle: async (invitation) => {
      invitations.push(invitation);
      // The test answers; the call is over when it is cancelled or the test is.
      await new Promise<void>((done) => {
        invitation.signal.addEventListener("abort", () => done(), { once: true });
      });
    },
  });
  server.srf.use("options", (req, res) => {
    pings.push(req);
    res.send(200);
  });
  return {
    srf: server.srf,
    nextInvite: () => invitations.next({ timeoutMs: 3_000 }),
    nextOptions: () => pings.next({ timeoutMs: 3_000 }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A call from the trunk that Microsoft has answered, with media on both sides. */
export async function connectCall({ trunk, microsoft, media }: TestSides) {
  const [near, far] = [await media("trunk"), await media("domain")];
  trunk.send(trunkInvite(near.offer()));
  const invitation = await microsoft.nextInvite();
  const dialog = await invitation.answer({ sdp: far.answer(invitation.offer) });
  const ok = await trunk.receive(/^SIP\/2.0 200/);
  trunk.send(trunkRequest("ACK", ok, { cseq: 1 }));
  near.accept(bodyOf(ok));
  return { near, far, invitation, dialog, ok };
}

export function bodyOf(message: string): string {
  return message.slice(message.indexOf("\r\n\r\n") + 4);
}

/** An INVITE from the trunk to the voice agent's number; `extra` are whole header lines. */
export function trunkInvite(sdp: string, { extra = "", number = "+18005550100" } = {}): string {
  const body = sdp.replaceAll("\r\n", "\n");
  return `INVITE sip:${number}@${HOST}:{peer} SIP/2.0
Via: SIP/2.0/UDP ${HOST}:{port};branch=z9hG4bK-call
Max-Forwards: 70
From: <sip:+14255550100@${HOST}>;tag=a
To: <sip:${number}@${HOST}>
Call-ID: trunk-call
CSeq: 1 INVITE
Contact: <sip:ivr@${HOST}:{port}>
${extra}Content-Type: application/sdp
Content-Length: ${Buffer.byteLength(sdp)}

${body}`;
}

/** A request of the trunk in the dialog that `ok` confirmed. */
export function trunkRequest(method: string, ok: string, { cseq = 2, extra = "" } = {}): string {
  const target = /<([^>]*)>/.exec(header(ok, "Contact"))?.[1] ?? "";
  return `${method} ${target} SIP/2.0
Via: SIP/2.0/UDP ${HOST}:{port};branch=z9hG4bK-${method}${cseq}
Max-Forwards: 70
From: ${header(ok, "From")}
To: ${header(ok, "To")}
Call-ID: ${header(ok, "Call-ID")}
CSeq: ${cseq} ${method}
${extra}Content-Length: 0

`;
}

/** Ends the headers of an answer and appends its SDP; for `answer()` of the raw peer. */
export function withSdp(peer: TestPeer, sdp: string): string[] {
  const typed = [`Contact: <sip:peer@${HOST}:${peer.port}>`, "Content-Type: application/sdp", ""];
  return [...typed, ...sdp.split("\r\n")];
}
