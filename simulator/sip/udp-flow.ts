import type { Socket } from "node:dgram";
import type { Address } from "./connection.ts";
import type { WireConnection } from "./stream-connection.ts";

/** A UDP listener's socket together with one remote address. */
export class UdpFlow implements WireConnection {
  readonly transport = "udp";
  readonly outbound = false;
  readonly servername = undefined;
  readonly authorizationError = undefined;
  readonly socket = undefined;
  readonly id: string;
  readonly local: Address;
  readonly remote: Address;
  readonly #datagrams: Socket;
  readonly #isOpen: () => boolean;

  constructor(
    datagrams: Socket,
    addresses: { local: Address; remote: Address },
    isOpen: () => boolean,
  ) {
    this.#datagrams = datagrams;
    this.#isOpen = isOpen;
    this.local = addresses.local;
    this.remote = addresses.remote;
    this.id = `udp-${addresses.local.port}`;
  }

  get closed(): boolean {
    return !this.#isOpen();
  }

  write(bytes: Buffer, done: (error: Error | undefined) => void): void {
    if (this.closed) {
      done(new Error("the UDP socket is closed"));
      return;
    }
    const { host, port } = this.remote;
    try {
      this.#datagrams.send(bytes, port, host, (error) => done(error ?? undefined));
    } catch (error) {
      // Port 0, out of somebody's Via.
      done(error instanceof Error ? error : new Error(String(error)));
    }
  }

  peerCertificate(): undefined {
    return undefined;
  }

  /** A flow without connection never closes by itself. */
  onClose(): () => void {
    return () => {};
  }

  close(): void {}
}
