import { expect, test } from "vitest";
import { scriptContactCentre } from "./contact-centre.ts";
import { type ChatMessage, createScript } from "./script.ts";

const OURS = ["look_up_customer", "escalate_to_human", "end_call"];

function ask(said: string, tools: readonly string[] = OURS) {
  const script = createScript();
  scriptContactCentre(script);
  return script.answer({ messages: [{ role: "user", content: said }], tools });
}

test.each([
  ["What is my account balance?", "look_up_customer"],
  ["I want to dispute a charge, please give me a person.", "escalate_to_human"],
  ["No thank you, goodbye.", "end_call"],
])("%j calls %s", (said, name) => {
  expect(ask(said)).toMatchObject({ kind: "tools", calls: [{ name }] });
});

test.each(["What is my account balance?", "Give me a person.", "Goodbye."])(
  "%j has words for an agent with other tools or none",
  (said) => {
    expect(ask(said, ["their_own_tool"])).toMatchObject({ kind: "text" });
    expect(ask(said, [])).toMatchObject({ kind: "text" });
  },
);

test("whatever else is said gets an answer", () => {
  expect(ask("Thanks a lot.")).toMatchObject({ text: expect.stringContaining("welcome") });
  expect(ask("It rains.")).toMatchObject({
    text: expect.stringContaining("tell me a little more"),
  });
});

test.each([
  ['{"balance":"49.99"}', "Your balance is 49.99 dollars."],
  ['{"error":"unknown"}', "I could not find your account."],
  ["out of order", "I could not find your account."],
])("the look-up's result %s becomes words", (content, text) => {
  const script = createScript();
  scriptContactCentre(script);
  const messages: ChatMessage[] = [
    { role: "user", content: "my balance" },
    { role: "assistant", content: "", toolCalls: [{ id: "1", name: "look_up_customer" }] },
    { role: "tool", content, toolCallId: "1" },
  ];
  expect(script.answer({ messages, tools: OURS })).toEqual({ kind: "text", text });
});
