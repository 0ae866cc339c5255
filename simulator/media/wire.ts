import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import type { Clock } from "../clock.ts";
import { ImpairedPath, type Impairment, type ImpairmentTally } from "./impair.ts";
import type { Negotiated } from "./negotiation.ts";
import { isRtcp } from "./rtp.ts";
import { SrtpContext, type SrtpRejection } from "./srtp.ts";

export interface WireListeners {
  onRtp: (datagram: Uint8Array) => void;
  onRtcp: (datagram: Uint8Array) => void;
  onRejected: (reason: SrtpRejection) => void;
  onError: (error: Error) => void;
}

/**
 * A leg's UDP socket with its keys: plain packets on the inside, what really travels on the outside.
 * Impairments strike outside, so that a wrong bit meets the authentication. RTCP shares the port.
 */
export class Wire {
  readonly host: string;
  readonly port: number;
  readonly #clock: Clock;
  readonly #socket: Socket;
  readonly #listeners: WireListeners;
  #peer: Negotiated | undefined;
  #protect: SrtpContext | undefined;
  #unprotect: SrtpContext | undefined;
  #outgoing: ImpairedPath | undefined;
  #incoming: ImpairedPath | undefined;

  constructor(socket: Socket, clock: Clock, listeners: WireListeners) {
    const { address, port } = socket.address();
    this.host = address;
    this.port = port;
    this.#clock = clock;
    this.#socket = socket;
    this.#listeners = listeners;
    socket.on("message", (datagram) => {
      if (this.#incoming === undefined) this.#receive(datagram);
      else this.#incoming.send(datagram);
    });
    socket.on("error", listeners.onError);
  }

  /** Where packets go, and the keys. A new key starts a new context, an old one goes on. */
  connect(peer: Negotiated): void {
    const before = this.#peer?.keys;
    const { keys } = peer;
    if (keys !== undefined && !isSameKey(before?.local, keys.local)) {
      this.#protect = new SrtpContext(keys.local);
    }
    if (keys !== undefined && !isSameKey(before?.remote, keys.remote)) {
      this.#unprotect = new SrtpContext(keys.remote);
    }
    this.#peer = peer;
  }

  sendRtp(datagram: Uint8Array): void {
    if (this.#peer === undefined) return;
    const sealed = this.#protect?.protect(datagram) ?? datagram;
    if (this.#outgoing === undefined) this.#send(sealed);
    else this.#outgoing.send(sealed);
  }

  sendRtcp(datagram: Uint8Array): void {
    if (this.#peer === undefined) return;
    const sealed = this.#protect?.protectReport(datagram) ?? datagram;
    this.#socket.send(sealed, this.#peer.remoteRtcpPort, this.#peer.remote.host);
  }

  /** Makes one direction bad, or good again; returns the tally that is kept from now on. */
  impair(direction: "in" | "out", impairment?: Impairment): ImpairmentTally | undefined {
    const before = direction === "in" ? this.#incoming : this.#outgoing;
    before?.[Symbol.dispose]();
    const deliver = (datagram: Uint8Array) =>
      direction === "in" ? this.#receive(datagram) : this.#send(datagram);
    const path = impairment && new ImpairedPath(this.#clock, impairment, deliver);
    if (direction === "in") this.#incoming = path;
    else this.#outgoing = path;
    return path?.tally;
  }

  async close(): Promise<void> {
    this.impair("in");
    this.impair("out");
    const closed = once(this.#socket, "close");
    // A turn of the loop lets the last datagram leave before its socket does.
    setImmediate(() => this.#socket.close());
    await closed;
    this.#peer = undefined;
  }

  #send(datagram: Uint8Array): void {
    if (this.#peer === undefined) return;
    this.#socket.send(datagram, this.#peer.remote.port, this.#peer.remote.host);
  }

  #receive(datagram: Uint8Array): void {
    if (this.#peer === undefined) return;
    const report = isRtcp(datagram);
    const opened = report
      ? this.#unprotect?.unprotectReport(datagram)
      : this.#unprotect?.unprotect(datagram);
    if (opened?.rejected !== undefined) return this.#listeners.onRejected(opened.rejected);
    const plain = opened?.datagram ?? datagram;
    if (report) this.#listeners.onRtcp(plain);
    else this.#listeners.onRtp(plain);
  }
}

/** Binds an ephemeral port of `host`. */
export async function bindSocket(host: string): Promise<Socket> {
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  try {
    socket.bind(0, host);
    await once(socket, "listening");
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

function isSameKey(one: { key: Uint8Array } | undefined, other: { key: Uint8Array }): boolean {
  return one !== undefined && Buffer.compare(one.key, other.key) === 0;
}
