import type Srf from "drachtio-srf";
import type { Clock } from "../clock.ts";
import type { DrachtioAddress } from "../drachtio/application.ts";
import { CallRefused } from "../drachtio/dial.ts";
import {
  CallCancelled,
  type Invitation,
  type InviteServer,
  serveInvites,
  userOf,
} from "../drachtio/invitation.ts";
import { callThrough, type LinkEnd } from "../drachtio/link.ts";
import { strike } from "../drachtio/strike.ts";
import { type FaultPlan, faultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import { Waiting } from "../waiting.ts";
import { DESK_HEADERS, type DeskCall, type DeskEnd, type DeskHeaders, deskEntry } from "./desk.ts";
import { type Binding, parseContact, Registrar } from "./registrar.ts";

export interface QueueOptions {
  clock: Clock;
  trace: PartyTrace;
  /** The queue's own daemon: the SBC calls it, the human's phone registers at it. */
  drachtio: DrachtioAddress;
  /** The queue's number, E.164; other numbers get 404. */
  number: string;
  /** How long a human's phone rings before the caller gets 480. Default 20,000. */
  ringTimeoutMs?: number;
  headers?: DeskHeaders;
  /** `queue.refuse { status, reason? }` */
  faults?: FaultPlan;
}

/** A final status that every call gets instead of ringing. */
export interface Refusal {
  status: number;
  reason?: string;
}

/** The queue of human agents behind the SBC. */
export interface Queue extends AsyncDisposable {
  /** The next call as the human's screen shows it, past ones first. */
  nextCall(options?: { signal?: AbortSignal; timeoutMs?: number }): Promise<DeskCall>;
  /** Refuses every call from now on (486 busy, 480, 503); undefined rings again. */
  refuseWith(refusal: Refusal | undefined): void;
  /** Phones that can be rung. */
  readonly humans: readonly Binding[];
}

/** Calls the desk keeps while nobody looks: the latest. */
const MAX_SHOWN = 100;
/** Everything a screen may want to show goes on to the human's phone. */
const PASSED = /^(?:X-.+|User-to-User|P-Asserted-Identity|Diversion|History-Info)$/i;

export async function startQueue(options: QueueOptions): Promise<Queue> {
  const { clock, trace, drachtio } = options;
  const registrar = new Registrar({ clock });
  const queue = new QueueDesk(options, registrar);
  const server: InviteServer = await serveInvites({
    drachtio,
    trace,
    handle: (invitation) => queue.handle(invitation, server.srf),
  });
  server.srf.use("register", (req, res) => answerRegister(registrar, req, res));
  return {
    nextCall: (wait) => queue.shown.next(wait),
    refuseWith: (refusal) => {
      queue.refusal = refusal;
    },
    get humans() {
      return registrar.bindings();
    },
    async [Symbol.asyncDispose]() {
      queue.shown.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

class QueueDesk {
  readonly shown: Waiting<DeskCall>;
  refusal: Refusal | undefined;
  readonly #options: QueueOptions;
  readonly #registrar: Registrar;
  readonly #busy = new Set<string>();

  constructor(options: QueueOptions, registrar: Registrar) {
    const { clock, number } = options;
    this.#options = options;
    this.#registrar = registrar;
    const what = `call to ${number}`;
    this.shown = new Waiting({ clock, what, limit: MAX_SHOWN, dropOldest: true });
  }

  async handle(invitation: Invitation, srf: Srf): Promise<void> {
    const { number, headers = DESK_HEADERS } = this.#options;
    if (invitation.number !== number) return invitation.refuse(404);
    const desk = deskEntry(invitation, headers);
    const { customerId, reason, summary } = desk.call;
    const move = this.#mover(invitation.callId);
    move("offered", { customerId, reason, summary });
    this.shown.push(desk.call);
    const onAnswer = (human: string) => {
      move("answered", { human });
      desk.answer(human);
    };
    const end = await this.#ring(invitation, srf, onAnswer).catch((error: unknown): DeskEnd => {
      if (!invitation.signal.aborted) {
        desk.end({ by: "queue" });
        throw error;
      }
      return { by: error instanceof CallCancelled ? "caller" : "queue" };
    });
    move("ended", { ...end });
    desk.end(end);
  }

  #mover(id: string): (to: string, detail: Record<string, unknown>) => void {
    const subject = "queue-call";
    let from = "none";
    return (to, detail) => {
      this.#options.trace.record({ type: "state", subject, id, from, to, detail }, id);
      from = to;
    };
  }

  async #ring(
    invitation: Invitation,
    srf: Srf,
    onAnswer: (number: string) => void,
  ): Promise<DeskEnd> {
    const refusal = this.#refusal(invitation.callId);
    if (refusal !== undefined) {
      invitation.refuse(refusal.status, refusal.reason);
      return { by: "refused", ...refusal };
    }
    const human = this.#registrar.bindings().find(({ number }) => !this.#busy.has(number));
    if (human === undefined) {
      const status = this.#busy.size > 0 ? 486 : 480;
      invitation.refuse(status);
      return { by: "refused", status };
    }
    this.#busy.add(human.number);
    try {
      return await this.#connect(invitation, { srf, human, onAnswer });
    } finally {
      this.#busy.delete(human.number);
    }
  }

  async #connect(invitation: Invitation, through: Through): Promise<DeskEnd> {
    const { clock, ringTimeoutMs = 20_000 } = this.#options;
    const { srf, human, onAnswer } = through;
    const patience = new AbortController();
    using deadline = clock.after(ringTimeoutMs, () =>
      patience.abort(new CallRefused(human.contact, { status: 480, reason: "No Answer" })),
    );
    const signal = AbortSignal.any([invitation.signal, patience.signal]);
    const uri = human.contact;
    const end = await callThrough(invitation, {
      srf,
      clock,
      uri,
      headers: onward(invitation),
      signal,
      onConnected: () => {
        deadline.cancel();
        onAnswer(human.number);
      },
    });
    return deskEnd(end);
  }

  #refusal(callId: string): Refusal | undefined {
    const { trace, faults = faultPlan() } = this.#options;
    const fault = strike({ faults, trace }, "queue.refuse", callId);
    if (fault === undefined) return this.refusal;
    const reason = fault["reason"];
    const status = Number(fault["status"] ?? 486);
    return { status, ...(reason === undefined ? {} : { reason: String(reason) }) };
  }
}

interface Through {
  srf: Srf;
  human: Binding;
  onAnswer: (number: string) => void;
}

function deskEnd(end: LinkEnd): DeskEnd {
  const { status, reason } = end;
  const by = { caller: "caller", callee: "human", us: "queue", refused: "refused" } as const;
  const detail = { ...(status === undefined ? {} : { status }), ...(reason ? { reason } : {}) };
  return { by: by[end.by], ...detail };
}

function onward({ request, from }: Invitation): Record<string, string> {
  const passed = Object.entries(request.headers).filter(([header]) => PASSED.test(header));
  return { ...Object.fromEntries(passed), From: `<sip:${from}@localhost>` };
}

function answerRegister(registrar: Registrar, req: Srf.SrfRequest, res: Srf.SrfResponse): void {
  const number = userOf(req.get("To"));
  const header = req.has("Contact") ? parseContact(req.get("Contact")) : undefined;
  const expires = req.has("Expires") ? { expiresSeconds: Number(req.get("Expires")) } : {};
  const registered = registrar.register({ number, ...expires, ...header });
  if (registered === undefined) return res.send(503);
  const { contact, expiresSeconds } = registered;
  const bound: Record<string, string> =
    contact === undefined ? {} : { Contact: `<${contact}>;expires=${expiresSeconds}` };
  // The daemon remembers the connection behind this contact by the Expires header.
  res.send(200, { headers: { ...bound, Expires: String(expiresSeconds) } });
}
