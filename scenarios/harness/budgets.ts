/**
 * What a caller may be asked to put up with, in milliseconds at the caller's ear, and what the lab
 * itself may cost. The one place where these numbers stand; matchers print them beside what was
 * measured. A scenario may ask for less or more.
 */
export const BUDGETS = {
  /** Caller's last sound to the reply's first audible sample; scripted service delays included. */
  responseTimeP50Ms: 800,
  responseTimeP95Ms: 1500,
  /** Caller's last sound to anything of the agent, whatever fails: docs/agent.md's rule. */
  unexplainedSilenceMs: 4000,
  /** From the caller's first sound over a reply to the agent's last audible frame. */
  silenceAfterBargeInMs: 300,
  /** REFER accepted to the INVITE at the queue. */
  transferMs: 2000,
  /** Longest hole within an utterance. */
  gapWithinUtteranceMs: 60,
} as const;
