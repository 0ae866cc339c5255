import { join } from "node:path";
import { expect, test } from "vitest";
import { askedOf, readDialogue } from "./dialogue.ts";
import { Mask } from "./dialogue-mask.ts";

const tool = (id: object) => ({
  type: "function",
  function: { name: "f", parameters: { properties: { id } } },
});

test("a tool's parameter that is named id is kept as it is, ids of calls count as their order", () => {
  const tools = [tool({ type: "string" }), tool({ type: "number" })];
  const messages = [
    { role: "assistant", tool_calls: [{ id: "call_x", function: { name: "f" } }] },
    { role: "tool", tool_call_id: "call_x", content: "1" },
  ];
  const asked = askedOf({ messages, tools });
  expect(asked).toMatchObject({
    messages: [{ tool_calls: [{ id: "call 1" }] }, { tool_call_id: "call 1" }],
    tools,
  });
  expect(askedOf({ messages, tools: tools.toReversed() })).not.toEqual(asked);
});

test("a dialogue recorded before is asked for in the same words", () => {
  const file = join(import.meta.dirname, "../../fixtures/dialogues/balance.json");
  for (const { request } of readDialogue(file).exchanges) {
    expect(new Mask([]).hideAll(askedOf({ ...request }))).toEqual(request);
  }
});
