import type { Script } from "./script.ts";

/**
 * A small model for a lab that is up for a developer's own agent: enough to talk to, and always the
 * same. Scenarios do not use it; they script what the model says.
 */
export function scriptContactCentre(script: Script): void {
  script.otherwise().says("I see. Could you tell me a little more about that?");
  script.when(/\b(thank|thanks)\b/i).says("You are welcome. Is there anything else?");
  script
    .when(/\b(goodbye|bye|that is all|no thank you)\b/i)
    .saysThenCalls("Thank you for calling. Goodbye.", "end_call", { reason: "customer is done" });
  script.when(/\b(balance|plan|invoice|account)\b/i).calls("look_up_customer", {});
  script.afterTool("look_up_customer").says(({ toolResult }) => accountSentence(toolResult));
  script
    .when(/\b(human|person|agent|manager|someone|dispute|complaint)\b/i)
    .escalates({ summary: "Customer asks for a person.", reason: "asked for a person" });
}

function accountSentence(result: unknown): string {
  if (typeof result !== "object" || result === null || !("balance" in result)) {
    return "I could not find your account.";
  }
  return `Your balance is ${String(result.balance)} dollars.`;
}
