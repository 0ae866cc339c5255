import type { Script } from "./script.ts";

const GOODBYE = /\b(goodbye|bye|that is all|no thank you)\b/i;
const ACCOUNT = /\b(balance|plan|invoice|account)\b/i;
const PERSON = /\b(human|person|agent|manager|someone|dispute|complaint)\b/i;

/**
 * A small model for a lab that is up for a developer's own agent: enough to talk to, and always the
 * same. It calls a tool only if the agent offers one of that name, and has words otherwise.
 * Scenarios do not use it; they script what the model says.
 */
export function scriptContactCentre(script: Script): void {
  script.otherwise().says("I see. Could you tell me a little more about that?");
  script.when(/\b(thank|thanks)\b/i).says("You are welcome. Is there anything else?");
  script.when(GOODBYE).says("Thank you for calling. Goodbye.");
  script
    .when(GOODBYE, { offered: "end_call" })
    .saysThenCalls("Thank you for calling. Goodbye.", "end_call", { reason: "customer is done" });
  script.when(ACCOUNT).says("I cannot look into your account.");
  script.when(ACCOUNT, { offered: "look_up_customer" }).calls("look_up_customer", {});
  script.afterTool("look_up_customer").says(({ toolResult }) => accountSentence(toolResult));
  script.when(PERSON).says("I cannot transfer you to a person.");
  script
    .when(PERSON, { offered: "escalate_to_human" })
    .escalates({ summary: "Customer asks for a person.", reason: "asked for a person" });
}

function accountSentence(result: unknown): string {
  if (typeof result !== "object" || result === null || !("balance" in result)) {
    return "I could not find your account.";
  }
  return `Your balance is ${String(result.balance)} dollars.`;
}
