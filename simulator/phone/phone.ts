import { type Invitation, Inviter, type Session, SessionState, type URI, UserAgent } from "sip.js";
import type { Clock } from "../clock.ts";
import { type MediaSession, type MediaSessionOptions, openMediaSession } from "../media/session.ts";
import type { PartyTrace } from "../trace.ts";
import { Waiting } from "../waiting.ts";
import { type IncomingPhoneCall, incomingCall } from "./incoming-call.ts";
import { invite } from "./outgoing-call.ts";
import { EstablishedCall, type PhoneCall } from "./phone-call.ts";
import { type Registration, register } from "./registration.ts";
import { describeMedia, type MediaDescriptions } from "./session-description.ts";
import { SocketTransport } from "./socket-transport.ts";

export interface PhoneOptions {
  clock: Clock;
  /** Records as the phone's party: the customer's (`phone`) or the human agent's (`human`). */
  trace: PartyTrace;
  /** `ws://host:port` of the SIP server. */
  server: string;
  /** This phone's own number, E.164; also its address of record. */
  number: string;
  displayName?: string;
  /** Where its RTP sockets are bound. Default 127.0.0.1. */
  mediaHost?: string;
  /** `media.impair` and `media.stop-sending`: the phone's own line. */
  faults?: MediaSessionOptions["faults"];
  /** Seconds a registration is asked for. Default 600. */
  registrationSeconds?: number;
}

export interface CallOptions {
  /** Caller id, E.164. Default: the phone's own number. */
  from?: string;
  /** Additional headers of the INVITE, spelled as given. */
  headers?: Readonly<Record<string, string>>;
  /** Aborting hangs up while it rings (CANCEL). */
  signal?: AbortSignal;
}

/** A call that was sent but not answered yet. */
export interface RingingCall {
  readonly callId: string;
  /** Resolves with the first 18x, or never. */
  readonly ringing: Promise<void>;
  /** Resolves on 200; rejects with {@link CallRefused}, or the signal's reason. */
  readonly answered: Promise<PhoneCall>;
}

/** A SIP softphone (sip.js over WebSocket) with plain RTP. */
export interface Phone extends AsyncDisposable {
  readonly number: string;
  /** Dials and waits for the answer; see {@link RingingCall.answered}. */
  call(number: string, options?: CallOptions): Promise<PhoneCall>;
  /** Dials and returns at once. */
  dial(number: string, options?: CallOptions): Promise<RingingCall>;
  /** Makes the phone reachable. Rejects with {@link RegistrationRefused}. */
  register(): Promise<void>;
  /** The next call that rings here, those that ring already first. Rejects with {@link WaitTimeout}. */
  nextCall(options?: { signal?: AbortSignal; timeoutMs?: number }): Promise<IncomingPhoneCall>;
}

/** sip.js's own limit, in wall-clock seconds, after which it answers 480 by itself. */
const NO_ANSWER_SECONDS = 600;
/** Calls that ring while nobody looks; one more gets 486. */
const MAX_RINGING = 16;

/** What sip.js calls an error is a response that crossed our CANCEL or BYE. */
const LATE = /received while in state/;

/** Connects to the SIP server; rejects when there is none. */
export async function startPhone(options: PhoneOptions): Promise<Phone> {
  const phone = new SoftPhone(options);
  await phone.start();
  return phone;
}

class SoftPhone implements Phone {
  readonly number: string;
  readonly #options: PhoneOptions;
  readonly #trace: PartyTrace;
  readonly #userAgent: UserAgent;
  readonly #calls = new Set<EstablishedCall>();
  readonly #media = new Map<Session, MediaDescriptions>();
  readonly #ringing = new Set<Invitation>();
  readonly #incoming: Waiting<IncomingPhoneCall>;
  readonly #stop = new AbortController();
  #registration: Registration | undefined;
  #disposal: Promise<void> | undefined;

  constructor(options: PhoneOptions) {
    const { clock, trace, number } = options;
    this.number = number;
    this.#options = options;
    this.#trace = trace;
    this.#incoming = new Waiting({ clock, what: `call at ${number}`, limit: MAX_RINGING });
    this.#userAgent = this.#createUserAgent();
  }

  async start(): Promise<void> {
    await this.#userAgent.start();
  }

  async call(number: string, options: CallOptions = {}): Promise<PhoneCall> {
    const { answered } = await this.dial(number, options);
    return await answered;
  }

  async dial(number: string, options: CallOptions = {}): Promise<RingingCall> {
    const { from = this.number, headers = {}, signal } = options;
    const stopped = this.#stop.signal;
    const abandoned = signal === undefined ? stopped : AbortSignal.any([signal, stopped]);
    const inviter = new Inviter(this.#userAgent, this.#uri(number), {
      params: { fromUri: this.#uri(from), fromDisplayName: this.#options.displayName ?? "" },
      extraHeaders: Object.entries(headers).map(headerLine),
    });
    const { callId } = inviter.request;
    const media = await this.#openMedia(callId);
    this.#describe(
      inviter,
      describeMedia(media, () => {}),
    );
    const ringing = Promise.withResolvers<void>();
    const answered = invite(inviter, { number, signal: abandoned, onRinging: ringing.resolve })
      .then(() => this.#established(inviter, media, callId))
      .catch(async (error: unknown) => {
        await media[Symbol.asyncDispose]();
        throw error;
      });
    // A caller that only looks at `ringing` must not crash the process.
    answered.catch(() => {});
    return { callId, ringing: ringing.promise, answered };
  }

  async register(): Promise<void> {
    const { clock, registrationSeconds } = this.#options;
    await this.#registration?.[Symbol.asyncDispose]();
    this.#registration = await register({
      clock,
      userAgent: this.#userAgent,
      ...(registrationSeconds === undefined ? {} : { expiresSeconds: registrationSeconds }),
      onLost: (error) => this.#complain("REGISTRATION_LOST", String(error)),
    });
  }

  nextCall(options: { signal?: AbortSignal; timeoutMs?: number } = {}): Promise<IncomingPhoneCall> {
    return this.#incoming.next(options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    this.#stop.abort(new Error(`phone ${this.number} was disposed`));
    this.#incoming.close();
    await Promise.all(Array.from(this.#calls, (call) => call[Symbol.asyncDispose]()));
    await this.#registration?.[Symbol.asyncDispose]();
    // What still rings here is refused with 480.
    for (const invitation of this.#ringing) await invitation.dispose();
    await this.#userAgent.transport.disconnect();
    await this.#userAgent.stop();
  }

  #createUserAgent(): UserAgent {
    const { clock, server } = this.#options;
    return new UserAgent({
      uri: this.#uri(this.number),
      displayName: this.#options.displayName ?? "",
      transportConstructor: SocketTransport,
      transportOptions: { clock, trace: this.#trace, server },
      sessionDescriptionHandlerFactory: (session) => this.#described(session),
      gracefulShutdown: false,
      noAnswerTimeout: NO_ANSWER_SECONDS,
      userAgentString: "linecheck-phone",
      logBuiltinEnabled: false,
      logConnector: (level, _category, _label, content) => {
        if (level === "error" && !LATE.test(content)) this.#complain("SIP_JS", content);
      },
      delegate: {
        onInvite: (invitation) => this.#ring(invitation),
        onDisconnect: (error) => this.#disconnected(error),
      },
    });
  }

  #ring(invitation: Invitation): void {
    const { clock } = this.#options;
    const call = incomingCall({
      clock,
      invitation,
      openMedia: (callId) => this.#openMedia(callId),
      describe: (descriptions) => this.#describe(invitation, descriptions),
      onAnswered: (answered) => this.#keep(answered),
    });
    this.#ringing.add(invitation);
    invitation.stateChange.addListener(() => {
      this.#ringing.delete(invitation);
      // A caller who gave up before anybody looked is nobody's next call.
      this.#incoming.remove(call);
    });
    if (this.#incoming.push(call)) return;
    this.#complain("PHONE_BUSY", `${MAX_RINGING} calls ring already; refused with 486`);
    void call.reject(486);
  }

  #disconnected(error: Error | undefined): void {
    if (error === undefined) return;
    this.#complain("CONNECTION_LOST", error.message);
    for (const call of this.#calls) call.connectionLost(error.message);
  }

  #established(session: Session, media: MediaSession, callId: string): PhoneCall {
    const { clock } = this.#options;
    const call = new EstablishedCall({ clock, session, media, callId });
    this.#keep(call);
    return call;
  }

  #keep(call: EstablishedCall): void {
    this.#calls.add(call);
    void call.ended.then(() => this.#calls.delete(call));
  }

  #openMedia(callId: string): Promise<MediaSession> {
    const { clock, mediaHost: host, faults } = this.#options;
    const line = { ...(host === undefined ? {} : { host }), ...(faults ? { faults } : {}) };
    return openMediaSession({ clock, trace: this.#trace, call: callId, ...line });
  }

  #describe(session: Session, descriptions: MediaDescriptions): void {
    this.#media.set(session, descriptions);
    session.stateChange.addListener((state) => {
      if (state === SessionState.Terminated) this.#media.delete(session);
    });
  }

  #described(session: Session): MediaDescriptions {
    const descriptions = this.#media.get(session);
    if (descriptions === undefined)
      throw new Error("sip.js asked for media before the call had any");
    return descriptions;
  }

  #uri(number: string): URI {
    const { host } = new URL(this.#options.server);
    const uri = UserAgent.makeURI(`sip:${number}@${host}`);
    if (uri === undefined) throw new TypeError(`expected a number to dial, got "${number}"`);
    return uri;
  }

  #complain(code: string, message: string): void {
    this.#trace.record({ type: "error", code, message });
  }
}

function headerLine([name, value]: [string, string]): string {
  if (/[\r\n]/.test(value) || !/^[\w!%'*+.`~-]+$/.test(name)) {
    throw new TypeError(`expected one header line, got "${name}: ${value}"`);
  }
  return `${name}: ${value}`;
}
