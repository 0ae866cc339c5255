import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Lab, LabCall } from "../lab.ts";
import type { TraceEvent } from "../trace.ts";

/** What `linecheck call` asks of the lab that is up. */
export interface CallOrder {
  readonly number: string;
  readonly from: string;
  /** Keys pressed once the call is up. */
  readonly press?: string;
  /** Spoken in this order: texts, and paths of WAV files. */
  readonly say: readonly string[];
  /** The call is ended this long after its last word. */
  readonly lengthMs: number;
}

/** What happens in that call, one JSON object a line. */
export type CallNews =
  | { readonly kind: "connected"; readonly callId: string }
  | { readonly kind: "heard" | "said" | "pressed"; readonly text: string }
  | { readonly kind: "ended" | "failed"; readonly reason: string };

/** Where the control port is and the word that opens it; kept in `<out>/lab.json`. */
export interface ControlAddress {
  readonly url: string;
  readonly token: string;
}

export interface Control extends AsyncDisposable {
  readonly address: ControlAddress;
}

/** A caller speaks when the other side has been silent for this long. */
const TURN_PAUSE_MS = 1200;
/** Longest silence that a caller puts up with before the call has failed. */
const SILENCE_LIMIT_MS = 30_000;
const ORDER_LIMIT_BYTES = 64 * 1024;

/** A port on loopback through which the command line makes calls in a lab that is up. */
export async function startControl(lab: Lab): Promise<Control> {
  const token = randomBytes(18).toString("base64url");
  const server = createServer((request, response) => {
    void serve({ lab, token, request, response });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  // A server that listens on a port always has this form of address.
  const { port } = server.address() as AddressInfo;
  return {
    address: { url: `http://127.0.0.1:${port}`, token },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => {
        server.close(resolve);
      });
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Exchange {
  readonly lab: Lab;
  readonly token: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

async function serve({ lab, token, request, response }: Exchange): Promise<void> {
  if (request.headers.authorization !== `Bearer ${token}`) return refuse(response, 401);
  if (request.method === "GET" && request.url === "/trace") return sendTrace(lab, response);
  if (request.method !== "POST" || request.url !== "/calls") return refuse(response, 404);
  const tell = (news: CallNews) => void response.write(`${JSON.stringify(news)}\n`);
  try {
    const order = await readOrder(request);
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    await makeCall(lab, order, { tell, response });
  } catch (error) {
    tell({ kind: "failed", reason: error instanceof Error ? error.message : String(error) });
  }
  response.end();
}

/** Everything traced so far, one JSON object a line. */
function sendTrace({ trace }: Lab, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  response.end(trace.events.map((event) => `${JSON.stringify(event)}\n`).join(""));
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status).end();
}

async function readOrder(request: IncomingMessage): Promise<CallOrder> {
  const parts: Buffer[] = [];
  let lengthBytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    lengthBytes += part.length;
    if (lengthBytes > ORDER_LIMIT_BYTES) throw new Error(`order above ${ORDER_LIMIT_BYTES} bytes`);
    parts.push(part);
  }
  // Sent by `linecheck call`, which has checked it; the token says that it was.
  return JSON.parse(Buffer.concat(parts).toString("utf8")) as CallOrder;
}

async function makeCall(
  lab: Lab,
  order: CallOrder,
  { tell, response }: { tell: (news: CallNews) => void; response: ServerResponse },
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const line = await lab.call(order.number, { from: order.from, signal: gone.signal });
  tell({ kind: "connected", callId: line.id });
  const over = AbortSignal.any([gone.signal, line.ended]);
  const stop = lab.trace.subscribe((event) => {
    if (event.type !== "heard" || event.call !== line.id) return;
    if (event.kind === "phrase") tell({ kind: "heard", text: event.text });
    if (event.kind === "noMatch")
      tell({ kind: "heard", text: "(speech that the lab does not know)" });
  });
  let reason = "time is up";
  try {
    await script(line, order, { lab, tell, over });
    await lab.clock.sleep(order.lengthMs, { signal: over });
  } catch (error) {
    if (!over.aborted) throw error;
  } finally {
    stop();
    // Asked before we hang up: afterwards it was us in any case.
    if (line.ended.aborted) reason = endReason(line.ended);
    await line.hangUp();
  }
  tell({ kind: "ended", reason });
}

/** Presses, then speaks: each text when the other side has said something and fallen silent. */
async function script(
  line: LabCall,
  { press, say }: CallOrder,
  { lab, tell, over }: { lab: Lab; tell: (news: CallNews) => void; over: AbortSignal },
): Promise<void> {
  if (press !== undefined) {
    await pause(lab, line, { over, quietMs: 0 });
    await line.press(press, { signal: over });
    tell({ kind: "pressed", text: press });
  }
  for (const text of say) {
    await pause(lab, line, { over, quietMs: TURN_PAUSE_MS });
    await line.say(text, { signal: over });
    tell({ kind: "said", text });
  }
}

/** Waits for the next phrase on the line, and until nothing has been heard for `quietMs` after it. */
async function pause(
  { trace, clock }: Lab,
  line: LabCall,
  { over, quietMs }: { over: AbortSignal; quietMs: number },
): Promise<void> {
  const isHere = (event: TraceEvent) => event.type === "heard" && event.call === line.id;
  await trace.waitFor(
    (event) => isHere(event) && event.type === "heard" && event.kind === "phrase",
    {
      timeoutMs: SILENCE_LIMIT_MS,
      what: "speech on the line",
      signal: over,
      from: trace.events.length,
    },
  );
  let heard = quietMs > 0;
  const stop = trace.subscribe((event) => {
    heard ||= isHere(event);
  });
  try {
    while (heard) {
      heard = false;
      await clock.sleep(quietMs, { signal: over });
    }
  } finally {
    stop();
  }
}

function endReason({ reason }: AbortSignal): string {
  return reason instanceof Error ? reason.message : String(reason);
}
