import type { Frame } from "../media/frame.ts";

/**
 * What an ACS call sees of the telephone side: the seam between call control (`call.ts`, REST,
 * events) and the Direct Routing edge (`direct-routing.ts`, SIP). One leg is one dialog with the
 * customer's SBC, with its media.
 */
export interface PstnGateway {
  /** Calls from the telephone network. The handler owns the leg: answer, reject or let it ring. */
  onIncoming(handler: (leg: PstnLeg) => void): void;
  /** Calls out through the voice routes. Resolves on 2xx; rejects with {@link PstnRefusal}. */
  dial(to: string, options: DialOptions): Promise<PstnLeg>;
}

export interface DialOptions {
  /** Caller id, E.164. */
  from: string;
  /** Custom headers with their full names (`X-AI-Summary`, `User-To-User`). */
  sipHeaders?: Readonly<Record<string, string>>;
  correlationId: string;
  signal?: AbortSignal;
  /** The call comes from a number that an application redirects: it carries History-Info. */
  redirectedFrom?: { number: string; historyInfo?: string };
}

export interface PstnLeg {
  readonly id: string;
  readonly direction: "incoming" | "outgoing";
  /** E.164 of the other side's caller id and of the called number. */
  readonly from: string;
  readonly to: string;
  /** Custom headers as the SBC sent them, after the header policy; names keep the sender's spelling. */
  readonly sipHeaders: Readonly<Record<string, string>>;
  /** History-Info of an incoming call, for a redirect to pass on. */
  readonly historyInfo?: string;
  /** Shared by everything that belongs to this call; Microsoft's `x-i`. */
  readonly correlationId: string;
  /** Resolves once, when the leg is over, whoever ended it. */
  readonly ended: Promise<LegEnd>;
  /** 200 OK with media; resolves when the ACK came. */
  answer(): Promise<void>;
  /** Final refusal of a leg that still rings: 486, 603, 403, 404. */
  reject(status: number, reason: string): void;
  /** BYE (or CANCEL of an outgoing leg that rings). */
  hangUp(): Promise<void>;
  /**
   * Moves the telephone party to another number by the method the SBC advertises (hairpin REFER,
   * direct REFER, or without the SBC). Rejects with {@link PstnRefusal}; the leg then lives on.
   */
  transfer(target: string, options: TransferLegOptions): Promise<void>;
  /** 20 ms frames from the telephone side, after the jitter buffer, 8 kHz. */
  onFrame(listener: (frame: Frame) => void): () => void;
  onDigit(listener: (digit: string) => void): () => void;
  /** Queues audio towards the telephone side; it is paced at 20 ms from a FIFO. */
  write(samples: Int16Array, rateHz: number): void;
  /** Drops what is queued; returns how many ms were dropped. */
  flush(): number;
  readonly queuedMs: number;
  sendDigits(digits: string, options?: { signal?: AbortSignal }): Promise<void>;
}

export interface TransferLegOptions {
  sipHeaders?: Readonly<Record<string, string>>;
  /** Caller id shown to the target; default: the transferee's number. */
  from?: string;
  signal?: AbortSignal;
}

/** How a leg ended. `by: "peer"` is the telephone side. */
export interface LegEnd {
  by: "peer" | "local" | "transfer" | "network";
  /** The SIP status or the BYE's cause, where there was one. */
  sip?: { code: number; message: string };
  /** From the SBC's Reason header. */
  q850?: { code: number; message: string };
}

/** A final refusal from the SBC (`560xxx`) or from Microsoft's own side. */
export class PstnRefusal extends Error {
  override readonly name = "PstnRefusal";
  readonly code: number;
  readonly subCode: number;
  readonly sip?: { code: number; message: string };
  readonly q850?: { code: number; message: string };

  constructor(message: string, detail: Omit<PstnRefusal, keyof Error>) {
    super(message);
    this.code = detail.code;
    this.subCode = detail.subCode;
    if (detail.sip !== undefined) this.sip = detail.sip;
    if (detail.q850 !== undefined) this.q850 = detail.q850;
  }
}
