import { setTimeout } from "node:timers/promises";
import type { SipCustomHeader } from "@azure/communication-call-automation";
import type { Call, TransferResult } from "./call.ts";
import type { Config } from "./config.ts";
import type { CallerContext } from "./context.ts";
import { encodeHeaderValue, plainHeaderValue } from "./header-value.ts";
import { maskPaymentCards } from "./payment-card.ts";
import { PHRASES } from "./phrases.ts";
import type { Logger } from "./telemetry.ts";

export interface EscalationRequest {
  /** What the human colleague needs to know; free text of any length. */
  readonly summary: string;
  readonly reason: string;
  /** Whether the caller has already been told; otherwise a sentence is spoken first. */
  readonly announced: boolean;
}

export interface EscalationOptions {
  readonly call: Call;
  readonly config: Config["escalation"];
  /** Between the last spoken word and the transfer, which cuts the line. */
  readonly lingerMs: number;
  readonly context: CallerContext;
  readonly customerId: string | undefined;
  readonly logger: Logger;
  readonly ids: () => string;
  /** Speaks to the caller, not to be interrupted. Resolves when heard. */
  readonly say: (text: string) => Promise<void>;
}

/** The summary, or what the caller said last where there is none. */
export function summaryOr(summary: string, lastCallerText: string): string {
  if (summary !== "") return summary;
  return lastCallerText === ""
    ? "The caller has not said what it is about."
    : `Caller said: ${lastCallerText}`;
}

/** While a transfer is pending the caller is told so again after this long without news. */
const REASSURE_MS = 10_000;

/**
 * Hands the caller to a human: tells them, transfers to the queue, then to the fallback number if
 * there is one. Resolves with what became of the last attempt; the caller of a failed escalation is
 * still on the line.
 */
export async function escalate(
  request: EscalationRequest,
  options: EscalationOptions,
): Promise<TransferResult> {
  const { config, logger, say } = options;
  if (!request.announced) await say(PHRASES.connecting);
  await setTimeout(options.lingerMs);
  const numbers = [config.queueNumber, config.fallbackNumber].filter(
    (number) => number !== undefined,
  );
  let result: TransferResult = { accepted: false, code: "no-target" };
  for (const [attempt, number] of numbers.entries()) {
    result = await transferWithReassurance(number, request, options);
    const code = result.accepted ? "accepted" : result.code;
    logger.info({ attempt, code }, "transfer finished");
    if (result.accepted || options.call.signal.aborted) return result;
  }
  return result;
}

async function transferWithReassurance(
  number: string,
  request: EscalationRequest,
  { call, config, context, customerId, ids, say }: EscalationOptions,
): Promise<TransferResult> {
  let reassuring: Promise<void> | undefined;
  const reassure = async () => {
    // A phrase that cannot be said must not end the transfer.
    await say(PHRASES.stillConnecting).catch(() => undefined);
    reassuring = undefined;
  };
  const timer = setInterval(() => {
    // One that takes long is not spoken into by the next.
    reassuring ??= reassure();
  }, REASSURE_MS);
  try {
    return await call.transfer({
      number,
      headers: transferHeaders(request, { config, context, customerId }),
      operationContext: ids(),
      timeoutMs: config.transferTimeoutMs,
    });
  } finally {
    clearInterval(timer);
    // Whoever goes on would speak at the same time.
    await reassuring;
  }
}

/**
 * What travels with the transfer: the summary, the customer's id, and why the caller was sent here
 * in the first place. The SDK joins prefix and key; a key that repeated the prefix would double it.
 */
export function transferHeaders(
  { summary, reason }: Pick<EscalationRequest, "summary" | "reason">,
  options: Pick<EscalationOptions, "config" | "context" | "customerId">,
): SipCustomHeader[] {
  const { config, context, customerId } = options;
  const encode = config.summaryEncoding === "percent" ? encodeHeaderValue : plainHeaderValue;
  const values = {
    [config.summaryHeader]: encode(maskPaymentCards(summary), config.summaryLimit),
    "X-Customer-ID": encodeHeaderValue(customerId ?? "", config.summaryLimit),
    "X-Transfer-Reason": encodeHeaderValue(context.transferReason ?? reason, config.summaryLimit),
  };
  return Object.entries(values)
    .filter(([, value]) => value !== "")
    .map(([name, value]) => header(name, value));
}

function header(name: string, value: string): SipCustomHeader {
  const sipHeaderPrefix = name.startsWith("X-MS-Custom-") ? "X-MS-Custom-" : "X-";
  return { kind: "sipx", key: name.slice(sipHeaderPrefix.length), value, sipHeaderPrefix };
}
