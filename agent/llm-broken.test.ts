import { expect, test } from "vitest";
import { type Model, type ModelPiece, openModel } from "./llm.ts";
import { type ModelTurn, startModelService } from "./testing/model-service.ts";
import { TOOLS } from "./tools.ts";

function model(endpoint: string, stallTimeoutMs = 1000): Model {
  const rest = { key: "model key", deployment: "gpt", apiVersion: "2024-10-21", maxTokens: 300 };
  return openModel({ ...rest, endpoint, stallTimeoutMs, maxRetries: 0 });
}

async function ask(asked: Model): Promise<ModelPiece[]> {
  const pieces: ModelPiece[] = [];
  const { signal } = new AbortController();
  const messages = [{ role: "user" as const, content: "Hello" }];
  for await (const piece of asked.reply(messages, { signal, tools: TOOLS })) {
    if (piece.type !== "started") pieces.push(piece);
  }
  return pieces;
}

// msw's sockets do not survive an aborted fetch, so what is aborted or given up has a real server.
test.each<[string, ModelTurn]>([
  ["a stream that stops in the middle", { says: "Your balance", thenStalls: true }],
  ["no answer at all", { stalls: true }],
])("%s is given up", async (_case, turn) => {
  await using service = await startModelService(turn);
  await expect(ask(model(service.url, 60))).rejects.toMatchObject({ code: "stalled" });
});

test("a connection that drops in the middle is a failure, after what came before", async () => {
  await using service = await startModelService({ says: "Your balance", thenDrops: true });
  await expect(ask(model(service.url))).rejects.toMatchObject({ code: "dropped" });
});

test("aborting ends the answer quietly, and the service notices", async () => {
  await using service = await startModelService({ says: "Your balance is", thenStalls: true });
  const controller = new AbortController();
  const pieces: ModelPiece[] = [];
  const asked = model(service.url);
  const options = { signal: controller.signal, tools: TOOLS };
  for await (const piece of asked.reply([{ role: "user", content: "Hi" }], options)) {
    if (piece.type === "started") continue;
    pieces.push(piece);
    controller.abort();
  }
  await service.requests[0]?.aborted;
  expect(pieces).toEqual([{ type: "text", text: "Your " }]);
});

test("an answer without an end is given up, however steadily it comes", async () => {
  await using service = await startModelService({ says: "and so on ".repeat(100), pieceMs: 20 });
  await expect(ask(model(service.url, 60))).rejects.toMatchObject({ code: "stalled" });
});

test("headers with nothing after them are given up as soon as a missing piece", async () => {
  await using service = await startModelService({ opens: true });
  const askedAt = performance.now();
  await expect(ask(model(service.url, 400))).rejects.toMatchObject({ code: "stalled" });
  expect(performance.now() - askedAt).toBeLessThan(1500);
});
