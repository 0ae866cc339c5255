import { expect, test } from "vitest";
import { openToolbox, TOOLS } from "./tools.ts";

const CUSTOMER = {
  id: "C-1042",
  name: "Dana Miller",
  phoneNumber: "+14255550100",
  plan: "Premium",
  balance: "49.99",
  currency: "USD",
  lastInvoice: "INV-2207",
  openDispute: false,
};

function use(name: string, input: string, customer: typeof CUSTOMER | undefined = CUSTOMER) {
  return openToolbox({ customer }).use({ id: "1", name, arguments: input });
}

test.each(["", "{}", '{"customer_id":"C-1042"}'])(
  "a look-up with %j reads the caller's account",
  (input) => {
    const outcome = use("look_up_customer", input);
    expect(outcome).toMatchObject({ type: "result" });
    expect(JSON.stringify(outcome)).toContain("49.99");
    expect(JSON.stringify(outcome)).not.toContain("+14255550100");
  },
);

test("another customer's account is not read", () => {
  const outcome = use("look_up_customer", '{"customer_id":"C-2077"}');
  expect(JSON.stringify(outcome)).toContain("not identified");
});

test("an unknown caller has no account", () => {
  const outcome = openToolbox({ customer: undefined }).use({
    id: "1",
    name: "look_up_customer",
    arguments: "{}",
  });
  expect(JSON.stringify(outcome)).toContain("not a known customer");
});

test.each(['{"customer_id":', "[]", "null", "7"])(
  "malformed arguments %j are told to the model",
  (input) => {
    expect(JSON.stringify(use("look_up_customer", input))).toContain("not a JSON object");
  },
);

test("an escalation has a summary and a reason", () => {
  expect(use("escalate_to_human", '{"summary":" Wants a refund. ","reason":"refund"}')).toEqual({
    type: "escalate",
    summary: "Wants a refund.",
    reason: "refund",
  });
});

test("an escalation happens even when its arguments are broken", () => {
  expect(use("escalate_to_human", '{"summary": "Wants')).toEqual({
    type: "escalate",
    summary: "",
    reason: "",
  });
});

test("a runaway summary is cut", () => {
  const outcome = use("escalate_to_human", JSON.stringify({ summary: "x".repeat(65_536) }));
  expect(outcome).toMatchObject({ summary: "x".repeat(2000) });
});

test("an unknown tool is told to the model", () => {
  expect(JSON.stringify(use("transfer_money", "{}"))).toContain("no tool named transfer_money");
});

test("every tool the model is offered is known", () => {
  for (const tool of TOOLS) {
    const name = tool.type === "function" ? tool.function.name : "";
    expect(JSON.stringify(use(name, "{}"))).not.toContain("no tool named");
  }
});
