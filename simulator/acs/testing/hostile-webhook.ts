import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { Mutator } from "./hostile.ts";

/** Whole answers that real servers give, as material for mutations; `CODE` is what was asked for. */
const ANSWERS: readonly string[] = [
  "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
  'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"status":"ok"}',
  "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
  "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
];

const CODE = "00000000-0000-4000-8000-000000000000";
/** To a validation handshake, in both schemas. */
const HANDSHAKE_ANSWERS: readonly string[] = [
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 61\r\n\r\n{"validationResponse":"${CODE}"}`,
  "HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: eventgrid.azure.net\r\nContent-Length: 0\r\n\r\n",
];

/**
 * A web server that takes every post and answers with bytes that are no longer quite HTTP. Half of
 * the time it closes the connection afterwards, half of the time it leaves the poster waiting.
 */
export class HostileWebhook implements AsyncDisposable {
  /** Requests answered, each with a mutation of its own. */
  answered = 0;
  readonly #mutator: Mutator;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => this.#serve(socket));

  static async start(mutator: Mutator): Promise<HostileWebhook> {
    const webhook = new HostileWebhook(mutator);
    webhook.#server.listen(0, "127.0.0.1");
    await once(webhook.#server, "listening");
    return webhook;
  }

  private constructor(mutator: Mutator) {
    this.#mutator = mutator;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    // The poster hangs up on nonsense; that is its right.
    socket.on("error", () => {});
    let received = "";
    socket.on("data", (data) => {
      received += data.toString("latin1");
      const request = wholeRequest(received);
      if (request === undefined) return;
      received = received.slice(request.length);
      this.#answer(socket, request);
    });
  }

  #answer(socket: Socket, request: string): void {
    this.answered++;
    const code = /"validationCode":"([^"]*)"/.exec(request)?.[1];
    const isHandshake = code !== undefined || request.startsWith("OPTIONS");
    const answer = this.#mutator.pick(isHandshake ? HANDSHAKE_ANSWERS : ANSWERS);
    const bytes = this.#mutator.text(answer).replace(CODE, code ?? CODE);
    if (this.#mutator.pick([true, false])) socket.end(bytes);
    else socket.write(bytes);
  }
}

/** The first request in `received`, once its body is there too. */
function wholeRequest(received: string): string | undefined {
  const head = /^[^]*?\r\n\r\n/.exec(received)?.[0];
  if (head === undefined) return undefined;
  const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
  return received.length < head.length + length
    ? undefined
    : received.slice(0, head.length + length);
}
