import { once } from "node:events";
import { connect, createServer, type TLSSocket } from "node:tls";
import type { IssuedCertificate } from "../../certificates.ts";
import type { ShownCertificate } from "../edge/certificate.ts";
import { issuersOf } from "../edge/chain.ts";

export interface ListeningEnd extends IssuedCertificate {
  /** The authorities that it trusts, as PEM. */
  readonly ca: string;
}

/** What a listener sees when `client` dials it: the real handshake, with Node's real verdict. */
export async function shownBy(
  client: Partial<IssuedCertificate>,
  server: ListeningEnd,
): Promise<ShownCertificate> {
  const listener = createServer({ ...server, requestCert: true, rejectUnauthorized: false });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const accepted = once(listener, "secureConnection") as Promise<[TLSSocket]>;
  const socket = connect({ host: "127.0.0.1", port, ...client, rejectUnauthorized: false });
  const [peer] = await accepted;
  const certificate = peer.getPeerCertificate(true);
  const shown = {
    raw: certificate?.raw,
    issuers: issuersOf(certificate),
    authorizationError: peer.authorized ? undefined : String(peer.authorizationError),
  };
  socket.destroy();
  peer.destroy();
  listener.close();
  await once(listener, "close");
  return shown;
}
