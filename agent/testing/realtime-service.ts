import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";

interface ClientEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** One session, driven by the test. */
interface Session {
  readonly url: string;
  readonly received: readonly ClientEvent[];
  /** Speaks words of 10 ms each as a new item, all at once, as the service does. */
  speaks(itemId: string, words: string): void;
  callerSays(text: string): void;
  callerBegins(): void;
  calls(name: string, args: object): void;
  /** Begins a response that nobody asked for. */
  begins(): void;
  done(status?: string): void;
  /** Refuses the next request for a response. */
  refusesNext(code: string): void;
  /** Sends an error event about the event of that id. */
  reports(code: string, id?: string): void;
  drop(): void;
}

/** The Realtime API (GA names) over a plain WebSocket, as an Azure endpoint serves it. */
export interface RealtimeService extends AsyncDisposable {
  readonly url: string;
  readonly sessions: readonly Session[];
  /** Status to refuse upgrades with. */
  refuse: number | undefined;
}

const WORD_BYTES = 480;

export async function startRealtimeService(): Promise<RealtimeService> {
  const sessions: Session[] = [];
  const sockets = new WebSocketServer({ noServer: true });
  const server = createServer((_request, response) => response.writeHead(404).end());
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  const service: RealtimeService = {
    url: `http://127.0.0.1:${port}`,
    sessions,
    refuse: undefined,
    [Symbol.asyncDispose]: async () => {
      for (const client of sockets.clients) client.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
  server.on("upgrade", (request, socket, head) => {
    if (service.refuse !== undefined) {
      socket.end(
        `HTTP/1.1 ${service.refuse} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
      );
      return;
    }
    sockets.handleUpgrade(request, socket, head, (accepted) => {
      sessions.push(sessionOn(accepted, request.url ?? ""));
    });
  });
  return service;
}

function at(itemId: string): object {
  return { item_id: itemId, response_id: "r", output_index: 0, content_index: 0 };
}

function sessionOn(socket: WebSocket, url: string): Session {
  const received: ClientEvent[] = [];
  const send = (event: object) => socket.send(JSON.stringify({ event_id: "e", ...event }));
  let metadata: unknown = null;
  const begin = (asked: unknown) => {
    metadata = asked;
    send({ type: "response.created", response: { id: "r", status: "in_progress", metadata } });
  };
  let refusal: string | undefined;
  socket.on("message", (data: Buffer) => {
    const event: ClientEvent & { response?: { metadata?: unknown } } = JSON.parse(data.toString());
    received.push(event);
    if (event.type !== "response.create") return;
    if (refusal === undefined) return begin(event.response?.metadata ?? null);
    send({ type: "error", error: { code: refusal, message: "", event_id: event["event_id"] } });
    refusal = undefined;
  });
  return {
    url,
    received,
    speaks: (itemId, words) => {
      for (const word of words.split(/(?<= )/)) {
        const delta = Buffer.alloc(WORD_BYTES, 0x20).toString("base64");
        send({ type: "response.output_audio_transcript.delta", delta: word, ...at(itemId) });
        send({ type: "response.output_audio.delta", delta, ...at(itemId) });
      }
    },
    callerBegins: () =>
      send({ type: "input_audio_buffer.speech_started", audio_start_ms: 0, item_id: "u" }),
    callerSays: (transcript) => {
      send({ type: "input_audio_buffer.speech_stopped", audio_end_ms: 0, item_id: "u" });
      const type = "conversation.item.input_audio_transcription.completed";
      send({ type, transcript, item_id: "u", content_index: 0 });
    },
    calls: (name, args) =>
      send({
        type: "response.function_call_arguments.done",
        call_id: `call-${name}`,
        name,
        arguments: JSON.stringify(args),
        ...at("f"),
      }),
    begins: () => begin(null),
    done: (status = "completed") =>
      send({ type: "response.done", response: { id: "r", status, metadata } }),
    refusesNext: (code) => {
      refusal = code;
    },
    reports: (code, id) => send({ type: "error", error: { code, message: "", event_id: id } }),
    drop: () => socket.terminate(),
  };
}
