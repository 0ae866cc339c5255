import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";

/**
 * A SIP peer for tests that knows nothing of SIP: it sends the text it is given and shows the
 * text it gets. `\n` becomes CRLF; `{port}` and `{peer}` become its own and its peer's port.
 */
export interface TestPeer extends AsyncDisposable {
  readonly port: number;
  /** Sends to its peer, or to another port of its host. */
  send(text: string, port?: number): void;
  /** The next message that was not taken yet and matches; others stay. */
  receive(pattern: RegExp): Promise<string>;
  /** Takes everything that has come so far. */
  drain(): string[];
}

const DEADLINE_MS = 3_000;

export async function openTestPeer({
  host = "127.0.0.1",
  port = 0,
  peer = 0,
} = {}): Promise<TestPeer> {
  const socket: Socket = createSocket("udp4");
  socket.bind(port, host);
  await once(socket, "listening");
  const own = socket.address().port;
  const waiting: string[] = [];
  socket.on("message", (bytes) => {
    waiting.push(bytes.toString("utf8"));
    socket.emit("text");
  });
  return {
    port: own,
    send(text, to = peer) {
      const filled = text.replaceAll("{port}", String(own)).replaceAll("{peer}", String(to));
      socket.send(filled.replaceAll(/\r?\n/g, "\r\n"), to, host);
    },
    async receive(pattern) {
      const signal = AbortSignal.timeout(DEADLINE_MS);
      for (;;) {
        const at = waiting.findIndex((text) => pattern.test(text));
        if (at !== -1) return waiting.splice(at, 1)[0] ?? "";
        await once(socket, "text", { signal }).catch(() => {
          throw new Error(`nothing like ${pattern} came; got:\n${waiting.join("\n---\n")}`);
        });
      }
    },
    drain: () => waiting.splice(0),
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => {
        socket.close(() => resolve());
      });
    },
  };
}

/** The value of a header in a message's text. */
export function header(text: string, name: string): string {
  return new RegExp(`^${name}\\s*:\\s*(.*?)\\r?$`, "im").exec(text)?.[1] ?? "";
}

/** A response to a request's text, with the headers RFC 3261 §8.2.6 wants copied. */
export function answer(
  request: string,
  status: string,
  extra: string[] = [],
  tag = "peer",
): string {
  const vias = request.match(/^Via:.*$/gim)?.map((line) => line.trim()) ?? [];
  const routes = request.match(/^Record-Route:.*$/gim)?.map((line) => line.trim()) ?? [];
  const to = header(request, "To");
  const [head, body] = splitAtBlank(extra);
  return [
    `SIP/2.0 ${status}`,
    ...vias,
    ...routes,
    `From: ${header(request, "From")}`,
    `To: ${to.includes("tag=") ? to : `${to};tag=${tag}`}`,
    `Call-ID: ${header(request, "Call-ID")}`,
    `CSeq: ${header(request, "CSeq")}`,
    ...head,
    `Content-Length: ${Buffer.byteLength(body.join("\r\n"))}`,
    "",
    body.join("\r\n"),
  ].join("\n");
}

function splitAtBlank(lines: string[]): [string[], string[]] {
  const blank = lines.indexOf("");
  return blank === -1 ? [lines, []] : [lines.slice(0, blank), lines.slice(blank + 1)];
}
