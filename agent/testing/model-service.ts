import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

interface ModelRequest {
  readonly messages: readonly { role: string; content: unknown }[];
  readonly tools?: readonly { function: { name: string } }[];
  /** Resolves when the client went away before the answer was complete. */
  readonly aborted: Promise<void>;
}

/** What the model does with one request; text is streamed word by word. */
export type ModelTurn =
  | {
      readonly says: string;
      readonly thenStalls?: boolean;
      readonly thenDrops?: boolean;
      /** Pause before each piece. */
      readonly pieceMs?: number;
    }
  | {
      readonly calls: readonly { name: string; arguments: string }[];
      readonly says?: string;
      readonly pieceMs?: number;
    }
  | { readonly fails: number; readonly code?: string }
  | { readonly stalls: true }
  /** Headers, and nothing after them. */
  | { readonly opens: true }
  | { readonly filters: true };

/** An Azure OpenAI deployment that answers a list of turns in order. */
export interface ModelService extends AsyncDisposable {
  readonly url: string;
  readonly requests: readonly ModelRequest[];
  readonly turns: ModelTurn[];
}

export async function startModelService(...turns: ModelTurn[]): Promise<ModelService> {
  const requests: ModelRequest[] = [];
  const receive = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await text(request);
    const { promise: aborted, resolve } = Promise.withResolvers<void>();
    response.once("close", () => {
      if (!response.writableFinished) resolve();
    });
    requests.push({ ...JSON.parse(body), aborted });
    play(response, turns.shift() ?? { says: "I have nothing more to say." });
  };
  const server = createServer((request, response) => void receive(request, response));
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    turns,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

function play(response: ServerResponse, turn: ModelTurn): void {
  if ("stalls" in turn) return;
  if ("fails" in turn) {
    response.writeHead(turn.fails, { "Content-Type": "application/json" });
    response.end(
      JSON.stringify({ error: { code: turn.code ?? String(turn.fails), message: "no" } }),
    );
    return;
  }
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  if ("opens" in turn) return response.flushHeaders();
  const frames = framesOf(turn);
  if ("pieceMs" in turn && turn.pieceMs !== undefined) return drip(response, frames, turn.pieceMs);
  for (const frame of frames) response.write(`data: ${JSON.stringify(frame)}\n\n`);
  if ("thenStalls" in turn && turn.thenStalls) return;
  if ("thenDrops" in turn && turn.thenDrops) {
    // Later, so that what was written is on the wire before the connection breaks.
    response.write("\n", () => setTimeout(() => response.socket?.destroy(), 20));
    return;
  }
  response.end("data: [DONE]\n\n");
}

function drip(response: ServerResponse, frames: object[], pieceMs: number): void {
  const timer = setInterval(() => {
    const frame = frames.shift();
    if (frame === undefined) response.end("data: [DONE]\n\n");
    else response.write(`data: ${JSON.stringify(frame)}\n\n`);
  }, pieceMs);
  response.once("close", () => clearInterval(timer));
}

/** As Azure streams: the prompt's filter results first, in a chunk without a choice. */
function framesOf(
  turn: Exclude<ModelTurn, { stalls: true } | { opens: true } | { fails: number }>,
): object[] {
  const first = { id: "", object: "chat.completion.chunk", choices: [], prompt_filter_results: [] };
  if ("filters" in turn) return [first, chunk({}, "content_filter")];
  const words = (turn.says ?? "").split(/(?<=\s)/).filter((word) => word !== "");
  const texts = words.map((content) => chunk({ content }));
  if (!("calls" in turn)) {
    const end = turn.thenStalls || turn.thenDrops ? [] : [chunk({}, "stop")];
    return [first, chunk({ role: "assistant", content: "" }), ...texts, ...end];
  }
  const calls = turn.calls.flatMap(({ name, arguments: input }, index) => [
    chunk({
      tool_calls: [
        { index, id: `call_${index}`, type: "function", function: { name, arguments: "" } },
      ],
    }),
    ...Array.from(input.match(/.{1,7}/gs) ?? [], (fragment) =>
      chunk({ tool_calls: [{ index, function: { arguments: fragment } }] }),
    ),
  ]);
  return [first, ...texts, ...calls, chunk({}, "tool_calls")];
}

function chunk(delta: object, finish_reason: string | null = null): object {
  return {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "gpt",
    choices: [{ index: 0, delta, finish_reason }],
  };
}
