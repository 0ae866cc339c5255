import type { Lab } from "../../simulator/lab.ts";
import { type CarriesHeaders, carriesHeaders } from "./headers.ts";
import { Line, type WithinOptions } from "./line.ts";
import type { Steps } from "./steps.ts";

const STEP_TIMEOUT_MS = 15_000;

/** The human queue, as a scenario sees it. */
export interface QueueFixture {
  /** Waits until a call rings at a human agent's desk. */
  nextCall(options?: WithinOptions): Promise<Handoff>;
  /** Every call from now on is refused with this status. */
  refuses(status: number, reason?: string): void;
}

/** A call that rings at the human agent's desk, with what the desk shows. */
export interface Handoff extends CarriesHeaders {
  readonly customerId: string | undefined;
  readonly reason: string | undefined;
  /** The AI's summary, decoded. */
  readonly summary: string | undefined;
  /**
   * The human picks up. The caller is put through a few hops later, which ACS tells the agent by
   * `CallTransferAccepted`; what the human says before is lost.
   */
  answers(): Promise<Line>;
}

export function queueFixture({ lab, steps }: { lab: Lab; steps: Steps }): QueueFixture {
  return {
    refuses: (status, reason) => lab.queue.refuseWith({ status, ...(reason ? { reason } : {}) }),
    nextCall: ({ withinMs = STEP_TIMEOUT_MS } = {}) =>
      steps.run("a call reaches the human queue", async (signal) => {
        const call = await lab.nextQueueCall({ signal, timeoutMs: withinMs });
        const { customerId, reason, summary } = call.desk;
        return {
          customerId,
          reason,
          summary,
          ...carriesHeaders(lab.trace, (name) => call.header(name)),
          answers: () =>
            steps.run("the human agent answers", async () => {
              return new Line(await call.answer(), { trace: lab.trace, steps });
            }),
        };
      }),
  };
}
