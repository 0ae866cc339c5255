import { settledBefore } from "./background.ts";
import { Call, type CallOptions, definedOnly } from "./call.ts";
import type { ResultInformation } from "./callbacks.ts";
import { Conversation, type Participant } from "./conversation.ts";
import type { Core } from "./core.ts";
import { type Identifier, identifierOf, phoneIdentifier } from "./identity.ts";
import { incomingCallContext, serverCallId } from "./ids.ts";
import { MediaStreaming } from "./media-streaming.ts";
import { type LegEnd, type PstnLeg, PstnRefusal } from "./pstn.ts";
import { ENDED_BY_APPLICATION, ENDED_BY_OTHER, resultOfEnd, resultOfRefusal } from "./result.ts";
import { refusal } from "./service-error.ts";
import { Transcription } from "./transcription.ts";

/** A call that rings and that an application may answer, reject or redirect. */
export interface RingingCall {
  readonly leg: PstnLeg;
  readonly from: Identifier;
  readonly to: Identifier;
  readonly serverCallId: string;
  readonly incomingCallContext: string;
  /** Takes it off the list of what rings; false when somebody was faster. */
  take(): boolean;
}

type Headers = Readonly<Record<string, string>>;

/** `data` of an IncomingCall event as it was sent. */
export type IncomingCallData = Readonly<Record<string, unknown>>;

/** Applications hear of the end of a call this much later at most. */
const HANG_UP_PATIENCE_MS = 500;
/** Ended calls and announcements kept for assertions; the oldest goes first. */
const KEPT_CALLS = 1000;

/** All calls of the resource: what rings, what is up, and how each of them ends. */
export class Switchboard implements AsyncDisposable {
  readonly core: Core;
  readonly incomingCalls: IncomingCallData[] = [];
  readonly #ringing = new Map<string, RingingCall>();
  readonly #calls = new Map<string, Call>();
  readonly #past = new Map<string, Call>();
  readonly #conversations = new Map<string, Conversation>();

  constructor(core: Core) {
    this.core = core;
    core.pstn.onIncoming((leg) =>
      this.ring(leg, { from: phoneIdentifier(leg.from), to: phoneIdentifier(leg.to) }),
    );
  }

  /** Every call so far, the ended ones included. */
  get calls(): readonly Call[] {
    return [...this.#past.values(), ...this.#calls.values()];
  }

  get active(): readonly Call[] {
    return [...this.#calls.values()];
  }

  /** An incoming call: rings, and tells the applications by Event Grid. */
  ring(
    leg: PstnLeg,
    { from, to, voipHeaders = {} }: { from: Identifier; to: Identifier; voipHeaders?: Headers },
  ): void {
    const { core } = this;
    const type = "Microsoft.Communication.IncomingCall";
    if (!core.eventGrid.hears(type)) {
      leg.reject(core.policy.unroutedStatus, "Not Found");
      return;
    }
    const context = incomingCallContext(core.ids, { from: from.rawId, to: to.rawId });
    const id = serverCallId(core.ids, core.clock.date());
    this.#keepRinging({ leg, from, to, serverCallId: id, incomingCallContext: context });
    const data = definedOnly({
      to,
      from,
      serverCallId: id,
      callerDisplayName: "",
      customContext: this.#customContext(leg, voipHeaders),
      incomingCallContext: context,
      correlationId: leg.correlationId,
    });
    this.incomingCalls.push(data);
    if (this.incomingCalls.length > KEPT_CALLS) this.incomingCalls.shift();
    const subject = `/caller/${from.rawId}/recipient/${to.rawId}`;
    core.eventGrid.publish({ type, subject, data, call: leg.correlationId });
  }

  /** The ringing call behind an incomingCallContext, taken. Unknown or expired ones are 400/8523. */
  take(context: string): RingingCall {
    const ringing = this.#ringing.get(context);
    if (ringing === undefined || !ringing.take()) throw refusal.invalidField("incomingCallContext");
    return ringing;
  }

  /** The call of a callConnectionId, else 404/8522. */
  find(callConnectionId: string): Call {
    const call = this.#calls.get(callConnectionId);
    if (call === undefined) throw refusal.callNotFound();
    return call;
  }

  /** A call that takes operations, else 404/8522, 400/8528 or 400/8501. */
  findEstablished(callConnectionId: string): Call {
    const call = this.find(callConnectionId);
    if (call.state === "disconnecting") throw refusal.terminated();
    if (!call.isEstablished) throw refusal.notEstablished();
    return call;
  }

  newConversation(
    options: { serverCallId?: string; correlationId?: string; meeting?: string } = {},
  ): Conversation {
    const { clock, ids, policy, trace } = this.core;
    const conversation = new Conversation({
      clock,
      trace,
      serverCallId: options.serverCallId ?? serverCallId(ids, clock.date()),
      correlationId: options.correlationId ?? ids.guid(),
      meeting: options.meeting,
      playoutLimitMs: policy.playoutLimitMs,
    });
    this.#conversations.set(conversation.serverCallId, conversation);
    return conversation;
  }

  /**
   * The conversation of a serverCallId, else 404/8522, or 400/8528 while it ends. Padding and the
   * alphabet of base64 are free.
   */
  findConversation(id: string): Conversation {
    const wanted = plainBase64(id);
    for (const conversation of this.#conversations.values()) {
      if (plainBase64(conversation.serverCallId) !== wanted) continue;
      if (conversation.isEnding) throw refusal.terminated();
      return conversation;
    }
    throw refusal.callNotFound();
  }

  /** The conversation of a room or group call, else 404/8522. */
  findMeeting(name: string): Conversation {
    const found = this.#runningMeeting(name);
    if (found === undefined) throw refusal.callNotFound();
    return found;
  }

  /** The conversation of a room or group call, made when there is none. */
  meeting(name: string): Conversation {
    const known = this.#runningMeeting(name);
    if (known !== undefined) return known;
    const conversation = this.newConversation({ meeting: name });
    conversation.establish();
    return conversation;
  }

  /** Registers an application's connection; its bot takes part from now on. */
  connect(
    conversation: Conversation,
    options: Omit<CallOptions, "callConnectionId" | "bot"> & { bot?: Identifier | undefined },
    state: "unknown" | "connecting",
  ): Call {
    const { ids, trace, callbacks, policy } = this.core;
    const bot = options.bot ?? this.newIdentity();
    const call = new Call(
      { ...options, bot, callConnectionId: ids.guid() },
      {
        conversation,
        trace,
        state,
        send: (event) => callbacks.send(event),
        mediaOperations: policy.mediaOperations,
      },
    );
    if (options.media !== undefined) {
      call.streaming = new MediaStreaming(call, options.media, this.core);
    }
    if (options.transcription !== undefined) {
      call.transcription = new Transcription(call, options.transcription, this.core);
    }
    this.#calls.set(call.id, call);
    conversation.connections.add(call);
    conversation.join(bot);
    trace.record({ type: "state", subject: "call", id: call.id, from: "", to: state }, call.id);
    return call;
  }

  /**
   * Throws 429/8516 when there are as many calls as the policy allows. Asked before a conversation
   * is made or a ringing call taken, for which nobody would care after a refusal.
   */
  requireRoom(): void {
    if (this.#calls.size >= this.core.policy.callLimit) throw refusal.throttled();
  }

  /** A new identity of this resource: `8:acs:<resource>_<guid>`. */
  newIdentity(): Identifier {
    const { ids, resource } = this.core;
    return identifierOf(`8:acs:${resource.resourceId}_${ids.guid()}`);
  }

  /**
   * Puts a leg into a conversation and watches for its end. A conversation that ends takes nobody,
   * none takes a second leg of one name: the leg is hung up, as nobody else would do it, and the
   * caller hears of it by an exception.
   */
  attach(conversation: Conversation, identifier: Identifier, leg: PstnLeg): Participant {
    const refused = refusedJoin(conversation, identifier);
    if (refused !== undefined) {
      this.core.background.run("refused leg", () => leg.hangUp());
      throw refused;
    }
    const participant = conversation.join(identifier, leg);
    this.core.background.run("leg", async (signal) => {
      const end = await settledBefore(leg.ended, signal);
      if (end !== undefined) this.#legEnded(conversation, participant, end);
    });
    return participant;
  }

  /** The call is up: CallConnected and ParticipantsUpdated, in either order as in recordings. */
  establish(call: Call): void {
    call.conversation.establish();
    call.move("connected");
    const { operationContext } = call.options;
    const connected = () => call.emit("CallConnected", { operationContext });
    const steps = [connected, () => call.conversation.announce()];
    for (const step of this.core.ids.random() < 0.5 ? steps : steps.toReversed()) step();
    if (call.options.transcription?.startsAtOnce !== true) return;
    call.transcription?.start({ operationContext, url: undefined });
  }

  /** Ends a call that never came up. */
  abandon(call: Call, events: readonly string[], error: unknown): void {
    const result = resultOfRefusal(error);
    for (const type of events.slice(0, -1)) call.emit(type, { result });
    this.#drop(call, result, events.at(-1));
    this.#endIfEmpty(call.conversation, result);
  }

  /** One application leaves; the others go on if there are enough. */
  async leave(call: Call, result = ENDED_BY_APPLICATION): Promise<void> {
    const { conversation } = call;
    if (call.isOver) return;
    if (conversation.connections.size === 1 && conversation.legs.length < 2) {
      await this.end(conversation, result);
      return;
    }
    this.#drop(call, result);
    conversation.announce();
  }

  /** Ends a conversation for everybody: BYE to every leg, CallDisconnected to every application. */
  async end(conversation: Conversation, result: ResultInformation): Promise<void> {
    conversation.beginEnd();
    for (const call of conversation.connections) {
      if (!call.isEnding) call.move("disconnecting");
    }
    await this.#hangUpAll(conversation);
    conversation.close();
    for (const call of conversation.connections) this.#drop(call, result);
    conversation.bridge[Symbol.dispose]();
    this.#conversations.delete(conversation.serverCallId);
  }

  /** After participants were taken out: tells the rest, or ends what is left over. */
  settle(conversation: Conversation): void {
    if (!this.#endIfEmpty(conversation, ENDED_BY_APPLICATION)) conversation.announce();
  }

  /** A leg is gone: the participant leaves, and with the last one the call ends. */
  remove(conversation: Conversation, participant: Participant, result: ResultInformation): void {
    if (!conversation.leave(participant.identifier)) return;
    if (!this.#endIfEmpty(conversation, result)) conversation.announce();
  }

  /** Hangs up on everybody without a word to the applications. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const call of this.#calls.values()) call.close();
    const conversations = [...this.#conversations.values()];
    const legs = conversations.flatMap((conversation) => conversation.legs.map(({ leg }) => leg));
    for (const conversation of conversations) conversation.close();
    for (const { bridge } of conversations) bridge[Symbol.dispose]();
    await Promise.allSettled(legs.map((leg) => leg.hangUp()));
  }

  #runningMeeting(name: string): Conversation | undefined {
    const conversations = [...this.#conversations.values()];
    return conversations.find(({ meeting, isEnding }) => meeting === name && !isEnding);
  }

  /** BYE to every leg, without waiting long for those who do not answer it. */
  async #hangUpAll(conversation: Conversation): Promise<void> {
    const { promise: impatient, resolve } = Promise.withResolvers<void>();
    using _patience = this.core.clock.after(HANG_UP_PATIENCE_MS, resolve);
    const hangUps = conversation.legs.map(({ leg }) => leg.hangUp());
    await Promise.race([Promise.allSettled(hangUps), impatient]);
  }

  #legEnded(conversation: Conversation, participant: Participant, end: LegEnd): void {
    const isCurrent = conversation.find(participant.identifier) === participant;
    const { isEnding } = conversation;
    // An accepted transfer is reported by the operation that asked for it.
    if (!isCurrent || isEnding || end.by === "transfer" || participant.leg === undefined) return;
    const isTelephone = participant.identifier.kind === "phoneNumber";
    const result = isTelephone ? resultOfEnd(participant.leg, end) : ENDED_BY_OTHER;
    this.remove(conversation, participant, result);
  }

  #endIfEmpty(conversation: Conversation, result: ResultInformation): boolean {
    const { legs, connections } = conversation;
    if (legs.length > 1 || (legs.length === 1 && connections.size > 0)) return false;
    this.core.background.run("end of call", () => this.end(conversation, result));
    return true;
  }

  #drop(call: Call, result: ResultInformation, type?: string): void {
    call.disconnect(result, type);
    call.conversation.connections.delete(call);
    call.conversation.leave(call.options.bot);
    this.#calls.delete(call.id);
    this.#past.set(call.id, call);
    const [oldest] = this.#past.keys();
    if (this.#past.size > KEPT_CALLS && oldest !== undefined) this.#past.delete(oldest);
  }

  #keepRinging(entry: Omit<RingingCall, "take">): void {
    const { clock, policy, background } = this.core;
    const { leg, incomingCallContext: context } = entry;
    const timer = clock.after(policy.ringTimeoutMs, () => {
      if (take()) leg.reject(480, "Temporarily Unavailable");
    });
    const take = () => {
      timer.cancel();
      return this.#ringing.delete(context);
    };
    this.#ringing.set(context, { ...entry, take });
    background.run("ringing", async (signal) => {
      await settledBefore(leg.ended, signal);
      take();
    });
  }

  #customContext(leg: PstnLeg, voipHeaders: Headers): Record<string, unknown> | undefined {
    const { userToUserKey } = this.core.policy;
    const entries = Object.entries(leg.sipHeaders).map(([name, value]) =>
      name.toLowerCase() === "user-to-user" ? [userToUserKey, value] : [name, value],
    );
    const hasVoip = Object.keys(voipHeaders).length > 0;
    if (entries.length === 0 && !hasVoip) return undefined;
    const sipHeaders = entries.length === 0 ? undefined : Object.fromEntries(entries);
    return definedOnly({ sipHeaders, voipHeaders: hasVoip ? voipHeaders : undefined });
  }
}

function refusedJoin(conversation: Conversation, identifier: Identifier): PstnRefusal | undefined {
  if (conversation.isEnding) {
    return new PstnRefusal("The call has ended.", { code: 487, subCode: 8542 });
  }
  if (conversation.find(identifier)?.leg === undefined) return undefined;
  return new PstnRefusal("Already in the call.", { code: 409, subCode: 8519 });
}

function plainBase64(text: string): string {
  return text.replaceAll("-", "+").replaceAll("_", "/").replace(/=+$/, "");
}
