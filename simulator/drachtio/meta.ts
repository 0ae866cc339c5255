import type { Clock } from "../clock.ts";
import type { Address, TransportName } from "../sip/connection.ts";

/** `HH:MM:SS.uuuuuu`, UTC: when the daemon saw or sent a message. */
export function timeToken(clock: Clock): string {
  return `${clock.date().toISOString().slice(11, 23)}000`;
}

/** Frames know three protocols: to the real daemon WebSocket, secure or not, is `tcp`. */
function protocolToken(transport: TransportName): string {
  return transport === "ws" || transport === "wss" ? "tcp" : transport;
}

/** Where a message came from or went to. */
export interface Hop {
  transport: TransportName;
  remote: Address;
}

/** `bytes|protocol|address|port|time`, the middle of every frame and reply. */
export function hopTokens(clock: Clock, bytes: number, { transport, remote }: Hop): string {
  const { host, port } = remote;
  return `${bytes}|${protocolToken(transport)}|${host}|${port}|${timeToken(clock)}`;
}
