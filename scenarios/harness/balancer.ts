import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** One address in front of several replicas that gets everything wrong that it is allowed to. */
export interface Balancer extends AsyncDisposable {
  readonly url: string;
}

interface Target {
  readonly url: string;
  readonly isAlive: boolean;
}

interface Copy {
  readonly request: IncomingMessage;
  readonly body: Buffer<ArrayBuffer>;
}

/**
 * Takes announcements to the first living replica, which answers the call, and then to all others,
 * too; takes every other event to the last living one, which therefore holds no media while another
 * lives, and every second of them twice.
 */
export async function startBalancer(targets: () => readonly Target[]): Promise<Balancer> {
  let events = 0;
  const route = (path: string): readonly Target[] => {
    const living = targets().filter(({ isAlive }) => isAlive);
    if (path.startsWith("/events")) return living;
    events += 1;
    const last = living.slice(-1);
    return events % 2 === 0 ? [...last, ...last] : last;
  };
  const server = createServer((request, response) => {
    void relay(request, response, route(request.url ?? ""));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

/** The first target's answer is the answer. */
async function relay(
  request: IncomingMessage,
  response: ServerResponse,
  targets: readonly Target[],
): Promise<void> {
  const copy = { request, body: Buffer.from(await buffer(request)) };
  const answers: Response[] = [];
  for (const target of targets) {
    // A replica that is gone has no answer.
    const answer = await send(copy, target).catch(() => undefined);
    if (answer !== undefined) answers.push(answer);
  }
  const [first] = answers;
  const type = first?.headers.get("Content-Type") ?? "text/plain";
  const body = first === undefined ? "" : await first.text();
  // A replica that died under the request is what a load balancer answers 502 for.
  response.writeHead(first?.status ?? 502, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
  });
  response.end(body);
}

function send({ request, body }: Copy, { url }: Target): Promise<Response> {
  const { authorization } = request.headers;
  return fetch(`${url}${request.url}`, {
    method: request.method ?? "POST",
    headers: {
      "Content-Type": request.headers["content-type"] ?? "application/json",
      ...(authorization === undefined ? {} : { Authorization: authorization }),
    },
    ...(body.length > 0 ? { body } : {}),
  });
}
