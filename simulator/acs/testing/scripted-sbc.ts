import type { Clock } from "../../clock.ts";
import type { Direction } from "../../media/sdp.ts";
import { type MediaSession, openMediaSession } from "../../media/session.ts";
import { Dialog, dialogIdOf } from "../../sip/dialog.ts";
import { type HeaderInput, SipRequest, type SipResponse } from "../../sip/message.ts";
import { type SipStack, startSipStack } from "../../sip/stack.ts";
import type { ServerTransaction } from "../../sip/transaction.ts";
import type { PartyTrace } from "../../trace.ts";
import type { DatacenterAddress } from "../direct-routing.ts";

export interface ScriptedSbcOptions {
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly fqdn: string;
  /** Shown when dialling and dialled; empty: none when dialling. */
  readonly certificate: { key: string; cert: string };
  readonly showCertificate?: boolean;
  /** PEM; what the edge's certificate must lead to. */
  readonly ca: string;
  /** 487 to a cancelled INVITE by itself (default), or left to the test. */
  readonly cancelled?: "automatic" | "manual";
  /** Microsoft's names, for the Request-URIs and routes of in-dialog requests. */
  readonly names: () => readonly DatacenterAddress[];
}

/** Headers to set; `undefined` takes the header away. */
export type Overrides = Readonly<Record<string, string | undefined>>;

export interface InviteParts {
  readonly to?: string;
  readonly from?: string;
  readonly uri?: string;
  readonly headers?: Overrides;
  /** Default: an offer of a new media session. */
  readonly body?: string;
  readonly datacenter?: DatacenterAddress;
  readonly onProgress?: (status: number) => void;
  readonly signal?: AbortSignal;
  /** Send the ACK of a 2xx. Default true. */
  readonly acknowledge?: boolean;
}

/** A border controller that does exactly what a test says: the other end of the edge's wires. */
export class ScriptedSbc implements AsyncDisposable {
  readonly #options: ScriptedSbcOptions;
  #stack: SipStack | undefined;
  readonly #waiting = new Map<string, ((transaction: ServerTransaction) => void)[]>();
  readonly #arrived = new Map<string, ServerTransaction[]>();
  readonly #counts = new Map<string, number>();
  readonly #sessions: MediaSession[] = [];
  /** Answers OPTIONS; a test may change it. Undefined: no answer. */
  optionsStatus: number | undefined = 200;
  /** Dialogs whose BYE the peer answers by itself; others are left to the test. */
  answersBye = true;
  #serial = 0;

  private constructor(options: ScriptedSbcOptions) {
    this.#options = options;
  }

  static async start(options: ScriptedSbcOptions): Promise<ScriptedSbc> {
    const peer = new ScriptedSbc(options);
    peer.#stack = await peer.#listen();
    return peer;
  }

  get stack(): SipStack {
    if (this.#stack === undefined) throw new Error("the border controller is closed");
    return this.#stack;
  }

  get port(): number {
    return this.stack.listeners[0]?.port ?? 0;
  }

  /** Contact in the form Microsoft wants: `<sip:fqdn:port;transport=tls>`. */
  get contact(): string {
    return `<sip:${this.#options.fqdn}:${this.port};transport=tls>`;
  }

  /** How many requests of this method have arrived. */
  count(method: string): number {
    return this.#counts.get(method) ?? 0;
  }

  /** The next request of this method that arrives, or the first that has. */
  async next(method: string): Promise<ServerTransaction> {
    const arrived = this.#arrived.get(method)?.shift();
    if (arrived !== undefined) return arrived;
    const { promise, resolve } = Promise.withResolvers<ServerTransaction>();
    this.#waiting.set(method, [...(this.#waiting.get(method) ?? []), resolve]);
    return await promise;
  }

  async options(
    datacenter: DatacenterAddress,
    headers: Overrides = {},
    signal?: AbortSignal,
  ): Promise<SipResponse> {
    const request = this.#request("OPTIONS", `sip:${datacenter.name}:${datacenter.port}`);
    override(request, headers);
    const { name, host, port } = datacenter;
    const target = { transport: "tls" as const, host, port, servername: name };
    return await this.stack.request(request, { target, signal }).final;
  }

  /** An INVITE and what became of it. */
  async invite(parts: InviteParts = {}): Promise<{ response: SipResponse; call?: SbcCall }> {
    const { to = "+18005550100", from = "+14255550100" } = parts;
    const datacenter = parts.datacenter ?? this.#datacenter(0);
    const uri =
      parts.uri ?? `sip:${to}@${datacenter.name}:${datacenter.port};user=phone;transport=tls`;
    const media = await this.openMedia();
    const request = this.#request("INVITE", uri);
    request.set("From", `<sip:${from}@${this.#options.fqdn}>;tag=peer${this.#serial}`);
    request.set("To", `<${uri}>`);
    request.set("Allow", "INVITE,ACK,BYE,CANCEL,OPTIONS,NOTIFY,REFER");
    request.set("Content-Type", "application/sdp");
    override(request, parts.headers);
    request.body = parts.body ?? media.offer();
    const { name, host, port } = datacenter;
    const target = { transport: "tls" as const, host, port, servername: name };
    const transaction = this.stack.request(request, { target, signal: parts.signal });
    transaction.onResponse(({ status }) => {
      if (status > 100 && status < 200) parts.onProgress?.(status);
    });
    const response = await transaction.final;
    if (response.status >= 300) return { response };
    const dialog = Dialog.asUac(request, response);
    media.accept(response.body.toString());
    if (parts.acknowledge !== false) {
      const ack = dialog.ack(request.cseq.number);
      await transaction.acknowledge(response, ack.request, { nextHop: ack.nextHop });
    }
    return { response, call: new SbcCall(this, dialog, media) };
  }

  /** 200 with an answer to an INVITE of the edge. */
  async accept(transaction: ServerTransaction, headers: HeaderInput = {}): Promise<SbcCall> {
    const media = await this.openMedia();
    const body = media.answer(transaction.request.body.toString());
    const response = transaction.respond(200, {
      headers: {
        Contact: this.contact,
        Allow: "INVITE,ACK,BYE,CANCEL,OPTIONS,NOTIFY,REFER",
        "Content-Type": "application/sdp",
        ...Object.fromEntries(Object.entries(headers)),
      },
      body,
    });
    return new SbcCall(this, Dialog.asUas(transaction.request, response), media);
  }

  async openMedia(): Promise<MediaSession> {
    const { clock, trace } = this.#options;
    const media = await openMediaSession({ clock, trace, srtp: "required" });
    this.#sessions.push(media);
    return media;
  }

  /** Answers 202 and takes the REFER as a border controller should; returns the referred INVITE's parts. */
  referral(refer: ServerTransaction): { uri: string; referredBy: string } {
    refer.respond(202, { headers: { Contact: this.contact } });
    const referTo = refer.request.get("Refer-To") ?? "";
    return { uri: referTo.slice(1, -1), referredBy: refer.request.get("Referred-By") ?? "" };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack?.[Symbol.asyncDispose]();
    await Promise.all(this.#sessions.map((media) => media[Symbol.asyncDispose]()));
  }

  #datacenter(index: number): DatacenterAddress {
    const found = this.#options.names()[index];
    if (found === undefined) throw new Error("the edge has no datacenter");
    return found;
  }

  #request(method: string, uri: string): SipRequest {
    this.#serial += 1;
    return new SipRequest({
      method,
      uri,
      headers: {
        "Max-Forwards": "70",
        From: `<sip:${this.#options.fqdn}>;tag=peer${this.#serial}`,
        To: `<${uri}>`,
        "Call-ID": `${this.#serial}@${this.#options.fqdn}`,
        CSeq: `1 ${method}`,
        Contact: this.contact,
      },
    });
  }

  #listen(): Promise<SipStack> {
    const {
      clock,
      trace,
      certificate,
      ca,
      names,
      cancelled,
      showCertificate = true,
    } = this.#options;
    return startSipStack({
      clock,
      trace,
      listen: [
        {
          transport: "tls",
          host: "127.0.0.1",
          port: 0,
          tls: certificate,
          clientTls: { ca, ...(showCertificate ? certificate : {}) },
        },
      ],
      cancelled,
      resolve: (host) => names().find(({ name }) => name === host),
      onRequest: (transaction) => this.#receive(transaction),
    });
  }

  #receive(transaction: ServerTransaction): void {
    const { method } = transaction.request;
    this.#counts.set(method, this.count(method) + 1);
    const { optionsStatus } = this;
    if (method === "OPTIONS" && optionsStatus !== undefined) transaction.respond(optionsStatus);
    if (method === "BYE" && this.answersBye) transaction.respond(200);
    const waiting = this.#waiting.get(method)?.shift();
    if (waiting !== undefined) waiting(transaction);
    else this.#arrived.set(method, [...(this.#arrived.get(method) ?? []), transaction]);
  }
}

/** A confirmed dialog of the scripted border controller. */
export class SbcCall {
  readonly dialog: Dialog;
  readonly media: MediaSession;
  readonly #sbc: ScriptedSbc;

  constructor(sbc: ScriptedSbc, dialog: Dialog, media: MediaSession) {
    this.#sbc = sbc;
    this.dialog = dialog;
    this.media = media;
  }

  /** Does an in-dialog request of the edge belong to this call? */
  owns({ request }: ServerTransaction): boolean {
    return dialogIdOf(request) === this.dialog.id;
  }

  async send(
    method: string,
    headers: HeaderInput = {},
    body: string | Buffer = "",
  ): Promise<SipResponse> {
    const { request, nextHop } = this.dialog.request(method, { headers, body });
    if (method !== "BYE") request.set("Contact", this.#sbc.contact);
    return await this.#sbc.stack.request(request, { nextHop }).final;
  }

  /** re-INVITE and its ACK; `undefined`: without an offer, the answer rides in the ACK. */
  async reinvite(direction: Direction | undefined, headers: Overrides = {}): Promise<SipResponse> {
    const offer = direction === undefined ? "" : this.media.offer({ direction });
    const { request, nextHop } = this.dialog.request("INVITE", { body: offer });
    request.set("Contact", this.#sbc.contact);
    if (offer !== "") request.set("Content-Type", "application/sdp");
    override(request, headers);
    const transaction = this.#sbc.stack.request(request, { nextHop });
    const response = await transaction.final;
    if (response.status >= 300) return response;
    const description = response.body.toString();
    const body = direction === undefined ? this.media.answer(description) : "";
    if (direction !== undefined) this.media.accept(description);
    const ack = this.dialog.ack(request.cseq.number, { body });
    await transaction.acknowledge(response, ack.request, { nextHop: ack.nextHop });
    return response;
  }

  bye(headers: HeaderInput = {}): Promise<SipResponse> {
    return this.send("BYE", headers);
  }

  /** NOTIFY with the status line of a referred call (RFC 3515). */
  notify(statusLine: string, state: string): Promise<SipResponse> {
    const headers = {
      Event: "refer",
      "Subscription-State": state,
      "Content-Type": "message/sipfrag;version=2.0",
    };
    return this.send("NOTIFY", headers, `${statusLine}\r\n`);
  }
}

function override(request: SipRequest, headers: Overrides = {}): void {
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) request.remove(name);
    else request.set(name, value);
  }
}
