import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { systemClock } from "../../clock.ts";
import { openTrace, type TraceEvent } from "../../trace.ts";
import { SipRequest } from "../message.ts";
import { type SipStackOptions, startSipStack } from "../stack.ts";
import type { ServerTransaction } from "../transaction.ts";

/** The other end of a test: bytes in, bytes out, nothing understood. */
export interface RawPeer extends AsyncDisposable {
  readonly port: number;
  send(text: string): void;
  sendBytes(bytes: Buffer): void;
  /** The next message (UDP) or chunk (TCP). */
  next(): Promise<string>;
  /** What came so far and was not taken yet. */
  readonly waiting: readonly string[];
}

class Inbox {
  readonly waiting: string[] = [];
  readonly #takers: ((text: string) => void)[] = [];

  put(bytes: Buffer): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.waiting.push(String(bytes));
    else taker(String(bytes));
  }

  next(): Promise<string> {
    const ready = this.waiting.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    return new Promise((resolve) => {
      this.#takers.push(resolve);
    });
  }
}

/** A UDP socket that talks to `port` (or, without one, to whoever wrote last). */
export async function udpPeer(port?: number, host = "127.0.0.1"): Promise<RawPeer> {
  const socket: DatagramSocket = createSocket(host.includes(":") ? "udp6" : "udp4");
  const inbox = new Inbox();
  let target = port === undefined ? undefined : { port, address: host };
  socket.on("message", (bytes, remote) => {
    target ??= remote;
    inbox.put(bytes);
  });
  const send = (message: string | Buffer) => {
    if (target === undefined) throw new Error("nobody to send to");
    socket.send(message, target.port, target.address);
  };
  socket.bind(0, host);
  await once(socket, "listening");
  return {
    port: socket.address().port,
    waiting: inbox.waiting,
    send,
    sendBytes: send,
    next: () => inbox.next(),
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, "close");
    },
  };
}

export interface RawStream extends RawPeer {
  readonly closed: Promise<void>;
  end(): void;
}

/** A TCP connection to `port`. */
export async function tcpPeer(port: number, host = "127.0.0.1"): Promise<RawStream> {
  const socket = connect(port, host);
  await once(socket, "connect");
  return rawStream(socket);
}

export interface RawServer extends AsyncDisposable {
  readonly port: number;
  /** The next connection that comes in. */
  accept(): Promise<RawStream>;
}

/** A TCP server that only accepts. */
export async function tcpServer(): Promise<RawServer> {
  const streams: RawStream[] = [];
  const arrivals: RawStream[] = [];
  const takers: ((stream: RawStream) => void)[] = [];
  const server = createServer((socket) => {
    const stream = rawStream(socket);
    streams.push(stream);
    const taker = takers.shift();
    if (taker === undefined) arrivals.push(stream);
    else taker(stream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    accept() {
      const ready = arrivals.shift();
      if (ready !== undefined) return Promise.resolve(ready);
      return new Promise((resolve) => {
        takers.push(resolve);
      });
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      await Promise.all(streams.map((stream) => stream[Symbol.asyncDispose]()));
      await closed;
    },
  };
}

function rawStream(socket: Socket): RawStream {
  const inbox = new Inbox();
  const closed = new Promise<void>((resolve) => {
    socket.once("close", () => resolve());
  });
  socket.on("data", (bytes: Buffer) => inbox.put(bytes));
  socket.on("error", () => socket.destroy());
  return {
    port: socket.localPort ?? 0,
    waiting: inbox.waiting,
    closed,
    send: (text) => void socket.write(text),
    sendBytes: (bytes) => void socket.write(bytes),
    next: () => inbox.next(),
    end: () => socket.destroy(),
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await closed;
    },
  };
}

/** A stack with one UDP port on loopback, and what it recorded. */
export async function startUdp(options: Partial<SipStackOptions> = {}) {
  const clock = options.clock ?? systemClock();
  const trace = openTrace({ clock });
  const requests: ServerTransaction[] = [];
  const stack = await startSipStack({
    clock,
    trace: trace.as("sbc"),
    listen: [{ transport: "udp", host: "127.0.0.1", port: 0 }],
    onRequest: (transaction) => void requests.push(transaction),
    ...options,
  });
  const port = stack.listeners[0]?.port ?? 0;
  const errors = () => trace.events.filter(isError).map(({ code }) => code);
  return {
    stack,
    port,
    trace,
    requests,
    errors,
    [Symbol.asyncDispose]: stack[Symbol.asyncDispose],
  };
}

const isError = (event: TraceEvent) => event.type === "error";

/** A request as a peer writes it; each header can be replaced or, with "", left out. */
export function wireRequest(method: string, changes: Record<string, string> = {}): string {
  const headers: Record<string, string> = {
    Via: "SIP/2.0/UDP 127.0.0.1:5999;branch=z9hG4bK1;rport",
    "Max-Forwards": "70",
    From: "<sip:alice@127.0.0.1>;tag=a",
    To: "<sip:bob@127.0.0.1>",
    "Call-ID": "c1",
    CSeq: `1 ${method}`,
    "Content-Length": "0",
    ...changes,
  };
  const uri = headers["uri"] ?? "sip:bob@127.0.0.1";
  const lines = Object.entries(headers).filter(([name, value]) => name !== "uri" && value !== "");
  const text = lines.map(([name, value]) => `${name}: ${value}`).join("\r\n");
  return `${method} ${uri} SIP/2.0\r\n${text}\r\n\r\n`;
}

export const startLine = (text: string) => text.slice(0, text.indexOf("\r\n"));
export const header = (text: string, name: string) =>
  new RegExp(`^${name}: (.*)\r$`, "im").exec(text)?.[1];

export function outgoing(
  method: string,
  uri: string,
  changes: Record<string, string> = {},
): SipRequest {
  return new SipRequest({
    method,
    uri,
    headers: {
      "Max-Forwards": "70",
      From: "<sip:alice@127.0.0.1>;tag=a",
      To: "<sip:bob@127.0.0.1>",
      "Call-ID": "c1",
      CSeq: `1 ${method}`,
      ...changes,
    },
  });
}

/** What a raw peer answers to a request of ours. */
export function reply(request: string, status: string, toTag: string): string {
  const copied = ["Via", "From", "Call-ID", "CSeq"].map(
    (name) => `${name}: ${header(request, name)}`,
  );
  const to = `To: ${header(request, "To")};tag=${toTag}`;
  return `SIP/2.0 ${status}\r\n${copied.join("\r\n")}\r\n${to}\r\nContent-Length: 0\r\n\r\n`;
}
