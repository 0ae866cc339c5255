import type { Frame } from "../../media/frame.ts";
import type {
  DialOptions,
  LegEnd,
  PstnGateway,
  PstnLeg,
  PstnRefusal,
  TransferLegOptions,
} from "../pstn.ts";

interface LegOptions {
  readonly direction: PstnLeg["direction"];
  readonly from: string;
  readonly to: string;
  readonly sipHeaders?: Readonly<Record<string, string>>;
  readonly correlationId: string;
}

/** A leg without a telephone behind it: what the service does to it is recorded, what the other side does is called. */
export class MemoryLeg implements PstnLeg {
  readonly id: string;
  readonly direction: PstnLeg["direction"];
  readonly from: string;
  readonly to: string;
  readonly sipHeaders: Readonly<Record<string, string>>;
  readonly correlationId: string;
  readonly written: { samples: Int16Array; rateHz: number }[] = [];
  readonly digitsSent: string[] = [];
  readonly transfers: { target: string; options: TransferLegOptions }[] = [];
  rejected: { status: number; reason: string } | undefined;
  isAnswered = false;
  isEnded = false;
  /** Makes the next answer fail. */
  answerError: Error | undefined;
  /** How a transfer goes; default: accepted at once. */
  onTransfer: () => Promise<void> = async () => {};
  queuedMs = 0;
  /** Called after audio was queued. */
  onWritten: () => void = () => {};
  readonly #ended = Promise.withResolvers<LegEnd>();
  readonly #frames = new Set<(frame: Frame) => void>();
  readonly #digits = new Set<(digit: string) => void>();

  constructor(id: string, options: LegOptions) {
    this.id = id;
    this.direction = options.direction;
    this.from = options.from;
    this.to = options.to;
    this.sipHeaders = options.sipHeaders ?? {};
    this.correlationId = options.correlationId;
  }

  get ended(): Promise<LegEnd> {
    return this.#ended.promise;
  }

  async answer(): Promise<void> {
    if (this.answerError !== undefined) throw this.answerError;
    this.isAnswered = true;
  }

  reject(status: number, reason: string): void {
    this.rejected = { status, reason };
    this.end({ by: "local" });
  }

  async hangUp(): Promise<void> {
    this.end({ by: "local" });
  }

  async transfer(target: string, options: TransferLegOptions): Promise<void> {
    this.transfers.push({ target, options });
    await this.onTransfer();
    this.end({ by: "transfer" });
  }

  onFrame(listener: (frame: Frame) => void): () => void {
    this.#frames.add(listener);
    return () => void this.#frames.delete(listener);
  }

  onDigit(listener: (digit: string) => void): () => void {
    this.#digits.add(listener);
    return () => void this.#digits.delete(listener);
  }

  write(samples: Int16Array, rateHz: number): void {
    this.written.push({ samples, rateHz });
    this.queuedMs += (samples.length * 1000) / rateHz;
    this.onWritten();
  }

  flush(): number {
    const dropped = this.queuedMs;
    this.queuedMs = 0;
    return dropped;
  }

  async sendDigits(digits: string): Promise<void> {
    this.digitsSent.push(digits);
  }

  /** The other side speaks one frame. */
  speak(samples: Int16Array, atMs = 0): void {
    for (const listener of this.#frames) listener({ samples, rateHz: 8000, atMs });
  }

  /** The other side presses a key. */
  press(digit: string): void {
    for (const listener of this.#digits) listener(digit);
  }

  /** The leg ends, by default because the telephone hung up. */
  end(end: LegEnd = { by: "peer" }): void {
    this.isEnded = true;
    this.#ended.resolve(end);
  }

  get listenerCount(): number {
    return this.#frames.size + this.#digits.size;
  }
}

/** The seam to the telephone side, held by the test. */
export class MemoryGateway implements PstnGateway {
  readonly legs: MemoryLeg[] = [];
  readonly dialled: { to: string; options: DialOptions; leg: MemoryLeg }[] = [];
  /** What becomes of a dialled call: undefined answers; an error refuses; a promise rings. */
  onDial: (to: string, signal?: AbortSignal) => Promise<void> | PstnRefusal | undefined = () =>
    undefined;
  #handler: (leg: PstnLeg) => void = () => {};

  onIncoming(handler: (leg: PstnLeg) => void): void {
    this.#handler = handler;
  }

  async dial(to: string, options: DialOptions): Promise<PstnLeg> {
    const { from, sipHeaders = {}, correlationId } = options;
    const leg = this.#leg({ direction: "outgoing", from, to, sipHeaders, correlationId });
    this.dialled.push({ to, options, leg });
    const outcome = this.onDial(to, options.signal);
    if (outcome instanceof Error) throw outcome;
    await outcome;
    return leg;
  }

  /** A call comes in. */
  ring(options: Partial<LegOptions> = {}): MemoryLeg {
    const serial = String(this.legs.length).padStart(12, "0");
    const leg = this.#leg({
      direction: "incoming",
      from: "+14255550100",
      to: "+18005550100",
      correlationId: `00000000-0000-4000-8000-${serial}`,
      ...options,
    });
    this.#handler(leg);
    return leg;
  }

  #leg(options: LegOptions): MemoryLeg {
    const leg = new MemoryLeg(`leg-${this.legs.length}`, options);
    this.legs.push(leg);
    return leg;
  }
}
