import type Srf from "drachtio-srf";
import { request, SDP, type TestDaemon } from "./daemon.ts";
import { answer, header } from "./peer.ts";

export const ANSWERED = [
  "Contact: <sip:a@127.0.0.1:{port}>",
  "Content-Type: application/sdp",
  "",
  SDP,
];

export interface Calling {
  headers?: Record<string, string>;
  auth?: { username: string; password: string };
  proxy?: string;
  onProvisional?: (response: Srf.SrfResponse) => void;
}

/** Starts a call to the peer; `sent` has the request, `dialog` the outcome. */
export function call({ srf, peer }: TestDaemon, { onProvisional, ...options }: Calling = {}) {
  const sent = Promise.withResolvers<Srf.SrfRequest>();
  const cbRequest = (_error: unknown, req?: Srf.SrfRequest) => {
    if (req !== undefined) sent.resolve(req);
  };
  const dialog = srf.createUAC(
    `sip:a@127.0.0.1:${peer.port}`,
    { localSdp: SDP, ...options },
    { cbRequest, cbProvisional: onProvisional ?? (() => {}) },
  );
  dialog.catch(() => {});
  return { dialog, sent: sent.promise };
}

export async function connected(lab: TestDaemon) {
  const { dialog } = call(lab);
  const invite = await lab.peer.receive(/^INVITE/);
  lab.peer.send(answer(invite, "200 OK", ANSWERED));
  const established = await dialog;
  await lab.peer.receive(/^ACK/);
  return { dialog: established, invite };
}

/** A request of the peer in the dialog that `invite` made. */
export function peerRequest(invite: string, method: string, headers = ""): string {
  return request(method, { call: header(invite, "Call-ID"), cseq: 7, headers })
    .replace(/^From:.*$/m, `From: ${header(invite, "To")};tag=peer`)
    .replace(/^To:.*$/m, `To: ${header(invite, "From")}`);
}
