import type { ServerTransaction } from "../sip/transaction.ts";

/** An answer of the daemon's own, unless the request has one already. */
export function refuse(
  transaction: ServerTransaction,
  status: number,
  headers: Record<string, string> = {},
  reason?: string,
): void {
  if (transaction.state === "terminated" || transaction.state === "completed") return;
  try {
    transaction.respond(status, { headers, ...(reason === undefined ? {} : { reason }) });
  } catch {
    // Cancelled or gone in the meantime.
  }
}
