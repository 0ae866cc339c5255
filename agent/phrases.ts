import type { CallerContext } from "./context.ts";
import type { Customer } from "./store.ts";

/** What the agent says of its own accord, without the model. */
export const PHRASES = {
  oneMoment: "One moment, please.",
  stillWorking: "I am still looking into that. Thank you for waiting.",
  pardon: "I'm sorry, I didn't catch that. Could you say it again?",
  lineInterrupted: "I'm sorry, the line was interrupted. Please go on.",
  lostThread: "I'm sorry, I lost my thread. Could you say that again?",
  notAllowed: "I'm sorry, I can't help with that. Is there something else I can do for you?",
  connecting: "Let me connect you with a colleague who can help. Please stay on the line.",
  stillConnecting: "I am still connecting you. Please stay on the line.",
  transferFailed:
    "I'm sorry, all of my colleagues are busy right now. You are still with me. How else can I help?",
  trouble: "I'm sorry, I am having a technical problem.",
  cannotHear: "I'm sorry, I cannot hear you well.",
  silenceGoodbye: "I still cannot hear anything, so I will end the call now. Goodbye.",
  tooLong: "I'm sorry, we have reached the end of the time for this call.",
  callAgain: "Please call again a little later. Goodbye.",
  goodbye: "Thank you for calling. Goodbye.",
} as const;

/** Synthesised beforehand: they are needed when synthesis, or anything, fails. */
export const SPOKEN_BY_HEART = [PHRASES.connecting, PHRASES.trouble, PHRASES.callAgain];

/** Asked in this order while the caller says nothing. */
export const REPROMPTS = [
  "Are you still there?",
  "I cannot hear you. Please tell me how I can help.",
];

/** "Dispute of a charge" is a topic; a sentence is none. */
const TOPIC_WORDS = 4;

/** The first words, which show the caller that nothing has to be said twice. */
export function greeting(
  company: string,
  customer: Customer | undefined,
  { transferReason }: CallerContext,
): string {
  const name = customer === undefined ? "" : (speakable(customer.name).split(" ")[0] ?? "");
  const reason = topicOf(transferReason ?? "");
  const hello = name === "" ? "Hello" : `Hello ${name}`;
  const thanks = company === "" ? "thank you for calling" : `thank you for calling ${company}`;
  const topic = reason === "" ? thanks : `I see you are calling about ${reason}`;
  return `${hello}, ${topic}. How can I help you today?`;
}

/**
 * A reason of a few words. The greeting becomes part of the model's history: a header that is longer
 * than a topic stays data, and is not put into the agent's mouth.
 */
function topicOf(reason: string): string {
  const topic = speakable(reason);
  return topic.split(" ").length > TOPIC_WORDS ? "" : topic;
}

/** Header values and names become speech: letters, digits and single spaces, not long. */
function speakable(text: string): string {
  return text
    .replaceAll(/[^\p{L}\p{N}'.]+/gu, " ")
    .trim()
    .slice(0, 60);
}
