import type { IncomingMessage, Server } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";

/** Names that are Azure's, and that this emulator therefore answers for. */
const OURS = [
  ".communication.azure.com",
  ".asm.skype.com",
  ".asyncgw.teams.microsoft.com",
  ".ams.gov.teams.microsoft.us",
];
const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

/**
 * Lets an application reach Azure's host names: with `HTTPS_PROXY` set to the plain listener, a
 * CONNECT to one of them ends at the TLS listener. This is how the SDK downloads recordings, whose
 * URLs it takes only on Microsoft's hosts. Any other name is refused: it is no open proxy.
 */
export function proxyOwnNames(
  plain: Server,
  secure: { readonly host: string; readonly port: number } | undefined,
): AsyncDisposable {
  const open = new Set<Duplex>();
  const keep = (socket: Duplex) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
  };
  plain.on("connect", (request: IncomingMessage, client: Duplex, head: Buffer) => {
    keep(client);
    if (secure === undefined || !isOurs(request.url ?? "", secure.port)) {
      client.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    const upstream: Socket = connect(secure.port, secure.host, () => {
      client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      upstream.write(head);
      upstream.pipe(client).pipe(upstream);
    });
    keep(upstream);
  });
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
    },
  };
}

function isOurs(target: string, securePort: number): boolean {
  const [, host = "", port = ""] = /^(.*):(\d+)$/.exec(target) ?? [];
  if (LOOPBACK.includes(host)) return Number(port) === securePort;
  return OURS.some((suffix) => host.toLowerCase().endsWith(suffix));
}
