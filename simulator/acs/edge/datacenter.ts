import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../../clock.ts";
import type { SipConnection } from "../../sip/connection.ts";
import { type SipStack, startSipStack } from "../../sip/stack.ts";
import type { Timers } from "../../sip/timers.ts";
import type { ServerTransaction } from "../../sip/transaction.ts";
import type { PartyTrace } from "../../trace.ts";
import type { EdgePolicy } from "./policy.ts";
import { productName, shape } from "./shape.ts";

/** How a datacenter behaves; scenarios switch it while calls run. */
export type DatacenterState =
  | { readonly kind: "up" }
  /** 503 with Retry-After: 1 to every new request outside a dialog. */
  | { readonly kind: "busy" }
  /** Everything is answered, `delayMs` late. */
  | { readonly kind: "slow"; readonly delayMs: number }
  /** The port is closed. */
  | { readonly kind: "down" }
  /** TCP connections are taken and never answered. */
  | { readonly kind: "blackhole" }
  /** Up, with another certificate: expired, of another name, of an unknown authority. */
  | { readonly kind: "badCertificate"; readonly certificate: ServerCertificate };

export interface ServerCertificate {
  readonly key: string;
  readonly cert: string;
}

export interface DatacenterSettings {
  /** FQDN the border controller dials: `sip.pstnhub.microsoft.com`. */
  readonly name: string;
  /** Region and instance in the product name. Default by position: USEA.5, EUWE.3, ASEA.5. */
  readonly region?: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port, kept through all states. */
  readonly port?: number;
}

export interface DatacenterOptions {
  readonly name: string;
  readonly region: string;
  readonly host: string;
  readonly port: number;
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly certificate: ServerCertificate;
  /** PEM; what border controllers' certificates must lead to. */
  readonly trustedRoots: readonly string[];
  readonly policy: EdgePolicy;
  readonly timers?: Partial<Timers>;
  readonly onRequest: (transaction: ServerTransaction, datacenter: Datacenter) => void;
}

/** The four documented suites; all of them want an RSA certificate. */
const CIPHERS = [
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES256-SHA384",
  "ECDHE-RSA-AES128-SHA256",
].join(":");

/** One of Microsoft's signalling points: a TLS port with a state. */
export class Datacenter implements AsyncDisposable {
  readonly name: string;
  readonly region: string;
  readonly host: string;
  readonly #options: DatacenterOptions;
  #port: number;
  #state: DatacenterState = { kind: "up" };
  #stack: SipStack | undefined;
  #hole: Blackhole | undefined;

  private constructor(options: DatacenterOptions) {
    this.name = options.name;
    this.region = options.region;
    this.host = options.host;
    this.#options = options;
    this.#port = options.port;
  }

  static async start(options: DatacenterOptions): Promise<Datacenter> {
    const datacenter = new Datacenter(options);
    await datacenter.#open();
    return datacenter;
  }

  get port(): number {
    return this.#port;
  }

  get state(): DatacenterState {
    return this.#state;
  }

  /** Undefined while the datacenter is down or a black hole. */
  get stack(): SipStack | undefined {
    return this.#stack;
  }

  /** Changes the behaviour. What needs another listener closes the open connections. */
  async setState(state: DatacenterState): Promise<void> {
    const before = this.#state;
    this.#state = state;
    this.#options.trace.record({
      type: "state",
      subject: "datacenter",
      id: this.name,
      from: before.kind,
      to: state.kind,
    });
    if (isServing(before) && isServing(state)) return;
    await this.#close();
    await this.#open();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #open(): Promise<void> {
    const { kind } = this.#state;
    if (kind === "down") return;
    if (kind === "blackhole") {
      this.#hole = await Blackhole.open(this.host, this.#port);
      return;
    }
    this.#stack = await this.#listen();
    this.#port = this.#stack.listeners[0]?.port ?? this.#port;
  }

  async #close(): Promise<void> {
    const [stack, hole] = [this.#stack, this.#hole];
    this.#stack = undefined;
    this.#hole = undefined;
    await stack?.[Symbol.asyncDispose]();
    await hole?.[Symbol.asyncDispose]();
  }

  #listen(): Promise<SipStack> {
    const { clock, trace, trustedRoots, policy, timers, region, onRequest } = this.#options;
    const state = this.#state;
    const { key, cert } =
      state.kind === "badCertificate" ? state.certificate : this.#options.certificate;
    const tls = {
      key,
      cert,
      ca: [...trustedRoots],
      minVersion: "TLSv1.2" as const,
      maxVersion: policy.tls13 ? ("TLSv1.3" as const) : ("TLSv1.2" as const),
      ciphers: policy.tls13 ? `TLS_AES_256_GCM_SHA384:${CIPHERS}` : CIPHERS,
    };
    const product = productName(policy.proxyVersion, region);
    return startSipStack({
      clock,
      trace,
      timers,
      listen: [
        {
          transport: "tls",
          host: this.host,
          port: this.#port,
          // The border controller's certificate is judged in code, against its Contact.
          tls: { ...tls, requestCert: true, rejectUnauthorized: false },
          clientTls: tls,
        },
      ],
      trying: "manual",
      onRequest: (transaction) => onRequest(transaction, this),
      onConnection: refuseAnonymous,
      beforeSend: (message) => shape(message, product),
    });
  }
}

/** Mutual TLS: a caller that shows no certificate at all does not get as far as SIP. */
function refuseAnonymous(connection: SipConnection): void {
  if (!connection.outbound && connection.peerCertificate() === undefined) connection.close();
}

function isServing({ kind }: DatacenterState): boolean {
  return kind === "up" || kind === "busy" || kind === "slow";
}

class Blackhole implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {
        // The caller gave up, which is all it can do here.
      });
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  static async open(host: string, port: number): Promise<Blackhole> {
    const hole = new Blackhole();
    hole.#server.listen(port, host);
    await once(hole.#server, "listening");
    return hole;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
