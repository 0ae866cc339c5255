import { join } from "node:path";
import type { Clock } from "../clock.ts";
import type { DrachtioServer } from "../drachtio/real.ts";
import type { DeskCall } from "../ivr/desk.ts";
import type { Queue } from "../ivr/queue.ts";
import { type Phone, startPhone } from "../phone/phone.ts";
import type { Trace } from "../trace.ts";
import { type LabCall, openLabCall } from "./call.ts";
import type { Customer } from "./customers.ts";
import { addressOf } from "./network.ts";
import { VOICES } from "./numbers.ts";
import type { Voices } from "./voices.ts";

export interface PeopleOptions {
  readonly clock: Clock;
  readonly trace: Trace;
  readonly voices: Voices;
  readonly customers: readonly Customer[];
  readonly daemons: { readonly carrier: DrachtioServer; readonly queue: DrachtioServer };
  readonly queue: Queue;
  /** Where recordings go; left out, none is written. */
  readonly folder: string | undefined;
}

/** A call that rings at the human agent's desk. */
export interface QueueCall {
  readonly desk: DeskCall;
  header(name: string): string | undefined;
  answer(): Promise<LabCall>;
}

export interface LabCallRequest {
  /** The customer's own number. Default: the first customer's. */
  from?: string;
  headers?: Readonly<Record<string, string>>;
  /** Whether what this end hears is made out while it is heard (`heard` events). Default true. */
  listens?: boolean;
  signal?: AbortSignal;
}

/** The human agent's extension at the queue. */
const HUMAN_NUMBER = "+18005550151";
const RING_TIMEOUT_MS = 5000;

/** The customers and the human agent, with their phones. */
export class People implements AsyncDisposable {
  readonly #options: PeopleOptions;
  readonly #phones = new Map<string, Promise<Phone>>();
  readonly #calls: LabCall[] = [];
  #human: Phone | undefined;

  constructor(options: PeopleOptions) {
    this.#options = options;
  }

  /** The human agent comes to work: their phone can be rung from now on. */
  async startHuman(): Promise<void> {
    const { clock, trace, daemons } = this.#options;
    this.#human = await startPhone({
      clock,
      trace: trace.as("human"),
      server: addressOf(daemons.queue, "ws"),
      number: HUMAN_NUMBER,
    });
    await this.#human.register();
  }

  async call(number: string, request: LabCallRequest = {}): Promise<LabCall> {
    const { customers, trace } = this.#options;
    const {
      from = customers[0]?.phoneNumber ?? "+14255550100",
      headers,
      listens,
      signal,
    } = request;
    const phone = await this.#customerPhone(from);
    const call = await phone.call(number, {
      from,
      ...(headers === undefined ? {} : { headers }),
      ...(signal === undefined ? {} : { signal }),
    });
    const heard = listens === undefined ? {} : { listens };
    return this.#keep({
      ...heard,
      party: "phone",
      voice: VOICES.customer,
      call,
      trace: trace.as("phone"),
    });
  }

  /** Both things that a call at the queue is: what the desk shows, and what rings. */
  async nextQueueCall(wait: { timeoutMs: number; signal?: AbortSignal }): Promise<QueueCall> {
    const { queue, trace } = this.#options;
    const desk = await queue.nextCall(wait);
    return {
      desk,
      header: (name) => desk.headers.get(name),
      answer: async () => {
        if (this.#human === undefined) throw new Error("no human agent is at the queue");
        const ringing = await this.#human.nextCall({ timeoutMs: RING_TIMEOUT_MS });
        const call = await ringing.answer();
        return this.#keep({ party: "human", voice: VOICES.human, call, trace: trace.as("human") });
      },
    };
  }

  async hangUpAll(): Promise<void> {
    await Promise.all(this.#calls.map((call) => call.hangUp()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Phones close even if a call's recording cannot be written; a phone that never started cannot.
    await using phones = new AsyncDisposableStack();
    for (const started of await Promise.allSettled(this.#phones.values())) {
      if (started.status === "fulfilled") phones.use(started.value);
    }
    phones.use(this.#human);
    await Promise.all(this.#calls.map((call) => call[Symbol.asyncDispose]()));
  }

  /** One phone for each number, also when two of its calls begin at once. */
  #customerPhone(number: string): Promise<Phone> {
    const known = this.#phones.get(number);
    if (known !== undefined) return known;
    const { clock, trace, daemons } = this.#options;
    const server = addressOf(daemons.carrier, "ws");
    const phone = startPhone({ clock, trace: trace.as("phone"), server, number });
    this.#phones.set(number, phone);
    // Whoever asked is told; the next call may try again.
    phone.catch(() => this.#phones.delete(number));
    return phone;
  }

  #keep(
    parts: Pick<
      Parameters<typeof openLabCall>[0],
      "party" | "voice" | "call" | "trace" | "listens"
    >,
  ): LabCall {
    const { clock, voices, folder } = this.#options;
    const name = parts.party === "phone" ? "customer" : "human";
    const nth = this.#calls.filter(({ party }) => party === parts.party).length;
    const file = `${name}${nth === 0 ? "" : `-${nth + 1}`}.wav`;
    const call = openLabCall({
      ...parts,
      clock,
      voices,
      ...(folder === undefined ? {} : { recordingFile: join(folder, file) }),
    });
    this.#calls.push(call);
    return call;
  }
}
