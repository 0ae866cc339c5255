import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { WebSocket } from "ws";

interface ServiceRequest {
  readonly method: string;
  readonly path: string;
  readonly body: Record<string, unknown>;
}

/** The media socket of one call, from the service's side. */
interface MediaSide {
  readonly socket: WebSocket;
  /** Bytes of audio received since the last stop. */
  readonly queuedBytes: number;
  readonly totalBytes: number;
  readonly stops: number;
  /** Sends 20 ms of audio. */
  frame(): void;
}

export interface CallServiceOptions {
  /** Answer to a transfer request; the default accepts it and sends no event. */
  refuseTransfer?: { status: number; code: string };
  /** Of the call when asked; undefined: there is no such call. */
  state?: string | undefined;
  refuseAnswer?: { status: number; code: string };
  rateHz?: number;
}

/** Call Automation as its SDK's wire sees it: answers requests, and posts events when told to. */
export interface CallService extends AsyncDisposable {
  readonly connectionString: string;
  readonly options: CallServiceOptions;
  readonly requests: readonly ServiceRequest[];
  request(path: RegExp): Promise<ServiceRequest>;
  /** Posts one mid-call event to the callback URL of the answered call. */
  event(type: string, data?: object): Promise<Response>;
  openMedia(headers?: Record<string, string>): Promise<MediaSide>;
}

export const CONNECTION_ID = "08002180-d3a7-4e55-bbeb-0887be645341";

export async function startCallService(options: CallServiceOptions = {}): Promise<CallService> {
  const requests: ServiceRequest[] = [];
  const sockets: WebSocket[] = [];
  const receive = async (request: IncomingMessage, response: ServerResponse) => {
    const received = await text(request);
    const path = (request.url ?? "").replace(/\?.*$/, "");
    const body = received === "" ? {} : JSON.parse(received);
    requests.push({ method: request.method ?? "", path, body });
    const { status, reply } = answerTo(path, body, options);
    response.writeHead(status, { "Content-Type": "application/json; charset=utf-8" });
    response.end(reply === undefined ? "" : JSON.stringify(reply));
  };
  const server = createServer((request, response) => void receive(request, response));
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  const request = (path: RegExp) =>
    until(() => requests.findLast((entry) => path.test(entry.path)));
  return {
    connectionString: `endpoint=http://127.0.0.1:${port}/;accesskey=${Buffer.from("a secret access key").toString("base64")}`,
    options,
    requests,
    request,
    event: async (type, data = {}) => {
      const { body } = await request(/:answer$/);
      return fetch(String(body["callbackUri"]), {
        method: "POST",
        headers: { "Content-Type": "application/json; charset=utf-8" },
        body: JSON.stringify([cloudEvent(type, data)]),
      });
    },
    openMedia: async (headers = {}) => {
      const { body } = await request(/:answer$/);
      const { transportUrl } = body["mediaStreamingOptions"] as { transportUrl: string };
      const own = { "x-ms-call-connection-id": CONNECTION_ID };
      const socket = new WebSocket(transportUrl, { headers: { ...own, ...headers } });
      sockets.push(socket);
      return mediaSide(socket, options.rateHz ?? 16_000);
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

function answerTo(
  path: string,
  body: Record<string, unknown>,
  { refuseAnswer, refuseTransfer, state }: CallServiceOptions,
): { status: number; reply?: object } {
  if (path.endsWith("callConnections:answer")) {
    if (refuseAnswer) return refusal(refuseAnswer);
    return {
      status: 200,
      reply: { callConnectionId: CONNECTION_ID, callConnectionState: "unknown" },
    };
  }
  if (path.endsWith(":transferToParticipant")) {
    if (refuseTransfer) return refusal(refuseTransfer);
    return { status: 202, reply: { operationContext: body["operationContext"] } };
  }
  if (path.endsWith(":terminate") || path.endsWith(":reject")) return { status: 204 };
  if (path.endsWith(CONNECTION_ID) && state !== undefined) {
    return { status: 200, reply: { callConnectionId: CONNECTION_ID, callConnectionState: state } };
  }
  return { status: 404, reply: { error: { code: "8522", message: "Call not found." } } };
}

function refusal({ status, code }: { status: number; code: string }): {
  status: number;
  reply: object;
} {
  return { status, reply: { error: { code, message: "refused by the test" } } };
}

let eventNumber = 0;

export function cloudEvent(type: string, data: object): object {
  eventNumber += 1;
  return {
    id: `event-${eventNumber}`,
    source: `calling/callConnections/${CONNECTION_ID}`,
    type: `Microsoft.Communication.${type}`,
    data: { callConnectionId: CONNECTION_ID, version: "2026-03-12", ...data },
    time: "2026-09-15T11:36:07.9937574+00:00",
    specversion: "1.0",
    datacontenttype: "application/json",
    subject: `calling/callConnections/${CONNECTION_ID}`,
  };
}

async function mediaSide(socket: WebSocket, rateHz: number): Promise<MediaSide> {
  let queuedBytes = 0;
  let totalBytes = 0;
  let stops = 0;
  socket.on("message", (data: Buffer) => {
    const message = JSON.parse(data.toString());
    if (message.kind === "stopAudio") {
      stops += 1;
      queuedBytes = 0;
    }
    if (message.kind !== "audioData") return;
    const { length } = Buffer.from(message.audioData.data, "base64");
    queuedBytes += length;
    totalBytes += length;
  });
  await new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  const audioMetadata = {
    subscriptionId: "s",
    encoding: "PCM",
    sampleRate: rateHz,
    channels: 1,
    length: rateHz / 25,
  };
  socket.send(JSON.stringify({ kind: "AudioMetadata", audioMetadata }));
  const data = Buffer.alloc(rateHz / 25, 1).toString("base64");
  return {
    socket,
    get queuedBytes() {
      return queuedBytes;
    },
    get totalBytes() {
      return totalBytes;
    },
    get stops() {
      return stops;
    },
    frame: () => {
      const audioData = { timestamp: "2024-11-15T19:16:12.925Z", data, silent: false };
      socket.send(JSON.stringify({ kind: "AudioData", audioData }));
    },
  };
}

/** Waits until `find` gives a value; the test's own time-out is the limit. */
export async function until<Value>(
  find: () => Value | undefined | false | Promise<Value | undefined | false>,
): Promise<Value> {
  for (;;) {
    const value = await find();
    if (value !== undefined && value !== false) return value;
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
}
