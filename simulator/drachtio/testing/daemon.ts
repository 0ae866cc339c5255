import { systemClock } from "../../clock.ts";
import { silentTrace } from "../../trace.ts";
import { connectDrachtio, type DrachtioApplication } from "../application.ts";
import { type DrachtioDaemon, type DrachtioDaemonOptions, startDrachtioDaemon } from "../daemon.ts";
import { openTestPeer, type TestPeer } from "./peer.ts";

/** A daemon with one UDP listener, one application and one peer, for tests. */
export interface TestDaemon extends AsyncDisposable {
  readonly daemon: DrachtioDaemon;
  readonly srf: DrachtioApplication;
  readonly peer: TestPeer;
  /** Port of the daemon's first listener. */
  readonly port: number;
}

export async function openTestDaemon(
  options: Partial<DrachtioDaemonOptions> = {},
): Promise<TestDaemon> {
  await using opened = new AsyncDisposableStack();
  const daemon = opened.use(
    await startDrachtioDaemon({
      clock: systemClock(),
      trace: silentTrace,
      contacts: [{ transport: "udp", host: "127.0.0.1", port: 0 }],
      ...options,
    }),
  );
  const srf = opened.use(await connectDrachtio(daemon.control));
  const port = daemon.contacts[0]?.port ?? 0;
  const peer = opened.use(await openTestPeer({ peer: port }));
  const resources = opened.move();
  return { daemon, srf, peer, port, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

export const SDP = `v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 4000 RTP/AVP 0
`.replaceAll("\n", "\r\n");

export interface RequestShape {
  call?: string;
  cseq?: number;
  to?: string;
  headers?: string;
  body?: string;
}

/** A request of a test peer; see `TestPeer.send` for the placeholders. */
export function request(method: string, shape: RequestShape = {}): string {
  const { call = "c1", cseq = 1, to = "<sip:a@127.0.0.1>", headers = "", body = "" } = shape;
  return `${method} sip:a@127.0.0.1:{peer} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-${call}-${cseq}-${method}
Max-Forwards: 70
From: "Bob" <sip:bob@127.0.0.1:{port}>;tag=from-${call}
To: ${to}
Call-ID: ${call}
CSeq: ${cseq} ${method}
Contact: <sip:bob@127.0.0.1:{port}>
${headers === "" ? "" : `${headers}\n`}Content-Length: ${Buffer.byteLength(body)}

${body}`;
}
