import type Srf from "drachtio-srf";
import { acceptLateAnswer, anchor, describe } from "../drachtio/anchor.ts";
import { CallRefused, dial, hangUp } from "../drachtio/dial.ts";
import type { Invitation } from "../drachtio/invitation.ts";
import { reasonOf, refuseRefer } from "../drachtio/link.ts";
import { strike } from "../drachtio/strike.ts";
import type { FaultPlan } from "../faults.ts";
import { relay } from "../media/relay.ts";
import { type MediaSession, openMediaSession } from "../media/session.ts";
import type { IvrOptions } from "./ivr.ts";
import { type MenuChoice, type MenuEvent, runMenu } from "./menu.ts";

/** What happened in a call, in order. */
export type IvrEvent =
  | MenuEvent
  | {
      kind: "decision";
      digit: string;
      customerId?: string;
      reason: string;
      destination: string;
      headers: Readonly<Record<string, string>>;
    }
  | { kind: "connected" }
  | { kind: "refused"; status: number; reason: string }
  | { kind: "ended"; by: "caller" | "destination" | "ivr"; reason?: string };

export interface IvrCall {
  readonly callId: string;
  readonly from: string;
  readonly to: string;
  readonly events: readonly IvrEvent[];
}

export type IvrCallOptions = Required<IvrOptions> & { srf: Srf; faults: FaultPlan };

/** Thrown through every wait of the call when one side hangs up. */
class HungUp extends Error {
  override readonly name = "HungUp";
  readonly by: "caller" | "destination" | "ivr";
  readonly reason: string | undefined;

  constructor(by: HungUp["by"], reason?: string) {
    super(`${by} hung up`);
    this.by = by;
    this.reason = reason;
  }
}

/** One call, top to bottom: answer, menu, transfer, bridge. */
export class IvrCallRun {
  readonly call: IvrCall;
  readonly #options: IvrCallOptions;
  readonly #invitation: Invitation;
  readonly #events: IvrEvent[] = [];
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;

  constructor(options: IvrCallOptions, invitation: Invitation) {
    const { callId, from, number } = invitation;
    this.#options = options;
    this.#invitation = invitation;
    this.#signal = AbortSignal.any([invitation.signal, this.#over.signal]);
    this.call = { callId, from, to: number, events: this.#events };
  }

  async run(): Promise<void> {
    const { clock, maxCallMs } = this.#options;
    await using media = await this.#openMedia();
    const sdp = this.#describe(media);
    if (sdp === undefined) return this.#invitation.refuse(488);
    const caller = await this.#invitation.answer({ sdp });
    acceptLateAnswer(caller, media, this.#invitation.offer);
    this.#watch(caller, "caller", media);
    using _limit = clock.after(maxCallMs, () =>
      this.#over.abort(new HungUp("ivr", `longer than ${maxCallMs} ms`)),
    );
    try {
      await this.#serve(media);
    } catch (error) {
      if (!this.#signal.aborted) throw error;
    } finally {
      await this.#end(caller);
    }
  }

  async #serve(media: MediaSession): Promise<void> {
    const signal = this.#signal;
    const { menu: entries } = this.#options;
    const onEvent = (event: MenuEvent) => this.#note(event);
    const choice = await runMenu(media, { ...this.#options, entries }, { onEvent, signal });
    const connected = choice !== undefined && (await this.#transfer(media, choice));
    if (!connected) await media.play(this.#options.prompts.unavailable, { signal });
  }

  /** True when the destination answered and the call has been bridged to its end. */
  async #transfer(media: MediaSession, choice: MenuChoice): Promise<boolean> {
    await using onward = await this.#openMedia();
    const destination = await this.#reach(choice, { media, onward });
    if (destination === undefined) return false;
    this.#watch(destination, "destination", onward);
    try {
      if (!this.#accepts(onward, destination)) return false;
      using _relay = relay(media, onward);
      this.#note({ kind: "connected" });
      await aborted(this.#signal);
    } finally {
      await hangUp(destination, { clock: this.#options.clock, headers: this.#byeHeaders() });
    }
    return true;
  }

  #accepts(onward: MediaSession, destination: Srf.Dialog): boolean {
    try {
      onward.accept(destination.remote.sdp);
      return true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#note({ kind: "refused", status: 488, reason });
      return false;
    }
  }

  /** Dials while the caller hears the prompt; undefined when the destination refused. */
  async #reach(
    choice: MenuChoice,
    { media, onward }: { media: MediaSession; onward: MediaSession },
  ): Promise<Srf.Dialog | undefined> {
    const { clock, srf, sbc, prompts, answerTimeoutMs } = this.#options;
    const headers = this.#decide(choice);
    const patience = new AbortController();
    using _deadline = clock.after(answerTimeoutMs, () =>
      patience.abort(new CallRefused(choice.destination, { status: 408, reason: "No Answer" })),
    );
    const prompt = new AbortController();
    const played = media
      .play(prompts.transferring, { signal: AbortSignal.any([this.#signal, prompt.signal]) })
      .catch(() => {});
    const uri = sbc.replace(/^sip:/, `sip:${choice.destination}@`);
    const signal = AbortSignal.any([this.#signal, patience.signal]);
    try {
      return await dial(srf, uri, { headers, localSdp: onward.offer(), signal });
    } catch (error) {
      if (!(error instanceof CallRefused)) throw error;
      this.#note({ kind: "refused", status: error.status, reason: error.reason });
      return undefined;
    } finally {
      prompt.abort();
      await played;
    }
  }

  /** The business rule: who calls, and why. */
  #decide({ digit, reason, destination }: MenuChoice): Record<string, string> {
    const { customers } = this.#options;
    const { from, callId } = this.#invitation;
    const customerId = customers(from);
    const custom: Record<string, string> = {
      ...(customerId === undefined ? {} : { "X-Customer-ID": customerId }),
      "X-Transfer-Reason": reason,
    };
    const dropped = strike(this.#options, "ivr.drop-header", callId)?.["header"];
    if (dropped !== undefined) delete custom[String(dropped)];
    const known = customerId === undefined ? {} : { customerId };
    this.#note({ kind: "decision", digit, ...known, reason, destination, headers: custom });
    return { ...custom, From: `<sip:${from}@localhost>` };
  }

  /** Answers the side's re-INVITEs, and ends the call when it hangs up. */
  #watch(dialog: Srf.Dialog, side: "caller" | "destination", media: MediaSession): void {
    const gone = (reason?: string) => this.#over.abort(new HungUp(side, reason));
    dialog.on("destroy", (bye) => gone(reasonOf(bye).reason));
    anchor(dialog, media);
    refuseRefer(dialog);
    if (!dialog.connected) gone();
  }

  async #end(caller: Srf.Dialog): Promise<void> {
    const cause: unknown = this.#signal.reason;
    const by = cause instanceof HungUp ? cause.by : "ivr";
    const reason = cause instanceof HungUp ? cause.reason : undefined;
    this.#note({ kind: "ended", by, ...(reason === undefined ? {} : { reason }) });
    await hangUp(caller, { clock: this.#options.clock, headers: this.#byeHeaders() });
  }

  #byeHeaders(): Record<string, string> {
    const cause: unknown = this.#signal.reason;
    return cause instanceof HungUp && cause.by !== "ivr" && cause.reason !== undefined
      ? { Reason: cause.reason }
      : {};
  }

  #openMedia(): Promise<MediaSession> {
    const { clock, trace, mediaHost: host } = this.#options;
    return openMediaSession({ clock, trace, call: this.#invitation.callId, host });
  }

  #describe(media: MediaSession): string | undefined {
    try {
      return describe(media, this.#invitation.offer);
    } catch {
      // The media session has traced why; the caller gets 488.
      return undefined;
    }
  }

  #note(event: IvrEvent): void {
    const { kind, ...detail } = event;
    const from = this.#events.at(-1)?.kind ?? "ringing";
    this.#events.push(event);
    const { callId } = this.#invitation;
    this.#options.trace.record(
      { type: "state", subject: "ivr-call", id: callId, from, to: kind, detail },
      callId,
    );
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
