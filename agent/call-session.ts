import type { WebSocket } from "ws";
import type { Call } from "./call.ts";
import { attempt, bestEffort, type CallRecorder } from "./call-record.ts";
import type { Config } from "./config.ts";
import { Conversation, type ConversationEnd } from "./conversation.ts";
import { type EscalationRequest, escalate } from "./escalation.ts";
import type { IncomingCall } from "./events.ts";
import { Hearing } from "./hearing.ts";
import type { Model } from "./llm.ts";
import { MediaStream } from "./media-stream.ts";
import { greeting, PHRASES } from "./phrases.ts";
import { type PreparedSpeech, withHeadStart, withPhrases } from "./prepared-voice.ts";
import { sessionPrompt, systemMessages } from "./prompt.ts";
import { RealtimeConversation } from "./realtime-conversation.ts";
import type { Customer, Store } from "./store.ts";
import { describeError, type Logger } from "./telemetry.ts";
import { openToolbox } from "./tools.ts";
import { tracedListener, tracedVoice } from "./traced-speech.ts";
import { countCall, Stage } from "./tracing.ts";
import { Transcript } from "./transcript.ts";
import { openVoice, type Voice } from "./tts.ts";
import { handToHuman, rescue, within } from "./without-media.ts";

export interface CallSessionOptions {
  readonly call: Call;
  readonly incoming: IncomingCall;
  readonly config: Config;
  readonly store: Store;
  readonly model: Model;
  /** What every call's voice knows by heart; read only. */
  readonly phrases: ReadonlyMap<string, PreparedSpeech>;
  readonly callbackUrl: string;
  readonly mediaUrl: string;
  readonly logger: Logger;
  readonly ids: () => string;
  readonly date: () => Date;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Aborted when this process has to end: whoever is still talking is handed to a human. */
  readonly closing: AbortSignal;
}

/**
 * One call from its ringing to its record. When this function returns, the call is over and
 * everything it opened is closed. Never rejects.
 */
export function runCall(options: CallSessionOptions): Promise<void> {
  return keepRecord(options, attend);
}

/**
 * A call whose replica is gone, and its media socket with it: the caller hears nothing, and what was
 * said is in the other's store. They are handed to a human. Never rejects.
 */
export function rescueCall(options: CallSessionOptions): Promise<void> {
  return keepRecord(options, rescue);
}

async function keepRecord(
  options: CallSessionOptions,
  work: (call: AttendedCall) => Promise<ConversationEnd>,
): Promise<void> {
  const { call, store, logger, date, incoming } = options;
  const record = bestEffort(store, logger);
  const { context, correlationId, callerNumber } = incoming;
  using stage = Stage.call(call.id);
  stage.message({ id: incoming.eventId, type: "IncomingCall" }, "eventgrid");
  call.onEvent((event) => stage.message(event, "acs"));
  let end: ConversationEnd = { outcome: "failed" };
  try {
    // Before answering: the caller must not wait, in silence, for a database.
    const customer = attempt("customer", () => findCustomer(store, incoming), logger);
    const customerId = customer?.id ?? context.customerId;
    const { transferReason } = context;
    record.startCall({
      id: call.id,
      correlationId,
      callerNumber,
      customerId,
      transferReason,
      at: date(),
    });
    logger.info({ knownCustomer: customer !== undefined }, "call begins");
    end = await work({ ...options, customer, stage, record });
  } catch (error) {
    logger.error({ err: describeError(error) }, "call failed");
    end = { outcome: call.signal.aborted ? "caller-left" : "failed" };
  }
  await leave(options);
  const { outcome, detail, summary } = endOf(call, end);
  record.endCall(call.id, { outcome, detail, summary, at: date() });
  stage.set({ "call.outcome": outcome });
  countCall(outcome);
  logger.info({ outcome, detail }, "call ended");
}

/** What the conversation does not know: that the caller is with a human, or with another replica. */
function endOf(call: Call, end: ConversationEnd): ConversationEnd {
  if (call.transferred) return { ...end, outcome: "escalated" };
  if (call.lost) return { ...end, outcome: "interrupted", detail: "another replica took it over" };
  return end;
}

/** Hangs up, unless the caller has been handed over, once the last words have left the line. */
async function leave({ call, config }: CallSessionOptions): Promise<void> {
  if (call.transferred) return;
  if (call.state === "connected") await within(call, new Promise(() => {}), config.media.lingerMs);
  await call.hangUp();
}

interface AttendedCall extends CallSessionOptions {
  readonly customer: Customer | undefined;
  readonly stage: Stage;
  /** Of this call; the store itself may throw. */
  readonly record: CallRecorder;
}

/** The header names the customer; without one that is known, the number they call from does. */
function findCustomer(store: Store, { context, callerNumber }: IncomingCall): Customer | undefined {
  const named = context.customerId === undefined ? undefined : store.customer(context.customerId);
  return named ?? store.customerByPhone(callerNumber);
}

/** Answers, waits for the media socket, and lets the conversation run. */
async function attend(options: AttendedCall): Promise<ConversationEnd> {
  const { call, config, incoming, callbackUrl, mediaUrl, logger } = options;
  await using opened = new AsyncDisposableStack();
  // Connections are opened and the greeting is synthesised while the call is being answered.
  const early = config.mode === "cascade" ? openSpeech(options, opened) : undefined;
  const { incomingCallContext } = incoming;
  const { rateHz } = config.media;
  await call.answer({ incomingCallContext, callbackUrl, mediaUrl, rateHz });
  const socket = await within(call, call.media, config.conversation.mediaTimeoutMs);
  if (socket === undefined) {
    logger.error({}, "media socket did not open");
    call.confirmConnected();
    return handToHuman(options, "no media");
  }
  const line = openLine(options, socket);
  const ground = groundOf(options, line.media);
  const realtime = () => converseInRealtime(options, line, { ground, opened });
  const end =
    (early === undefined ? await realtime() : undefined) ??
    (await converseInCascade(options, line, { ground, ...(early ?? openSpeech(options, opened)) }));
  // Before the connections are closed, which takes a moment the caller would spend in silence.
  await leave(options);
  line.media.close();
  return end;
}

/** The media stream of one call, and where the caller's audio goes at the moment. */
interface AudioLine {
  readonly media: MediaStream;
  listen: (samples: Uint8Array) => void;
}

function openLine({ call, config, now, logger }: CallSessionOptions, socket: WebSocket): AudioLine {
  const { rateHz } = config.media;
  const media = new MediaStream(socket, {
    ...config.media,
    graceMs: config.conversation.mediaTimeoutMs,
    now,
    onAudio: (samples) => line.listen(samples),
    onMetadata: (metadata) => {
      if (metadata.rateHz !== rateHz) {
        logger.error({ ...metadata, expected: rateHz }, "media rate differs");
      }
    },
  });
  const line: AudioLine = { media, listen: () => {} };
  call.onMediaReturned((returned) => media.attach(returned));
  return line;
}

/** What the cascade hears and speaks with. */
interface SpeechParts {
  readonly voice: Voice;
  readonly hearing: Hearing;
  readonly listener: ReturnType<typeof latecomer>;
}

function openSpeech(options: AttendedCall, opened: AsyncDisposableStack): SpeechParts {
  const { call, config, logger, phrases, stage, date } = options;
  const speech = { ...config.speech, rateHz: config.media.rateHz, date };
  const phrased = withPhrases(openVoice(speech), phrases);
  const voice = opened.use(withHeadStart(phrased, helloOf(options), call));
  const listener = latecomer();
  const traced = opened.use(tracedListener(listener.forward, stage));
  const hearing = opened.use(new Hearing({ speech, listener: traced, logger }));
  return { voice, hearing, listener };
}

/** A voice that is opened when it is first needed: most realtime calls need none. */
function spareVoice(options: AttendedCall, opened: AsyncDisposableStack): Pick<Voice, "speak"> {
  const { config, phrases, stage } = options;
  const speech = { ...config.speech, rateHz: config.media.rateHz };
  let voice: Voice | undefined;
  const open = () => opened.use(withPhrases(openVoice(speech), phrases));
  const speak: Voice["speak"] = (text, how) => {
    voice ??= open();
    return voice.speak(text, how);
  };
  return tracedVoice({ speak }, stage);
}

function helloOf({ config, customer, incoming }: AttendedCall): string {
  return greeting(config.conversation.company, customer, incoming.context);
}

async function converseInCascade(
  options: AttendedCall,
  line: AudioLine,
  { voice, hearing, listener, ground }: SpeechParts & { ground: Ground },
): Promise<ConversationEnd> {
  const { call, model, logger } = options;
  const { media } = line;
  line.listen = (samples) => hearing.write(samples);
  // Where a realtime session has already spoken, the caller is not greeted a second time.
  const opening = ground.transcript.begun ? PHRASES.lineInterrupted : ground.greeting;
  const conversation = new Conversation({ ...ground, greeting: opening, voice, model });
  listener.follow(conversation.listener);
  call.onMediaReturned((returned) => {
    logger.info({}, "media socket came back");
    media.attach(returned);
    conversation.lineReturned();
  });
  await waitUntilConnected(options);
  return conversation.run();
}

/** Resolves with nothing when the session failed: the cascade takes the call over. */
async function converseInRealtime(
  options: AttendedCall,
  line: AudioLine,
  { ground, opened }: { ground: Ground; opened: AsyncDisposableStack },
): Promise<ConversationEnd | undefined> {
  const { call, config, customer, incoming, logger } = options;
  const { media } = line;
  const conversation = new RealtimeConversation({
    ...ground,
    ...sessionPrompt(config.conversation.company, customer, incoming.context),
    endpoint: config.model,
    realtime: config.realtime,
    voice: spareVoice(options, opened),
    onListening: (write) => {
      line.listen = write;
    },
  });
  call.onMediaReturned((returned) => {
    logger.info({}, "media socket came back");
    media.attach(returned);
    conversation.lineReturned();
  });
  await waitUntilConnected(options);
  try {
    return await conversation.run();
  } catch (error) {
    logger.warn({ err: describeError(error) }, "realtime session broke");
    return call.signal.aborted ? { outcome: "caller-left" } : undefined;
  }
}

type Ground = ReturnType<typeof groundOf>;

/** What both kinds of conversation stand on. */
function groundOf(options: AttendedCall, media: MediaStream) {
  const { call, config, incoming, record, logger, ids, date, now, customer, stage, closing } =
    options;
  const { context } = incoming;
  const system = systemMessages(config.conversation.company, customer, context);
  const customerId = customer?.id ?? context.customerId;
  const { lingerMs } = config.media;
  const handOver = { call, config: config.escalation, lingerMs, context, customerId, logger, ids };
  return {
    config: config.conversation,
    greeting: helloOf(options),
    media,
    toolbox: openToolbox({ customer }),
    transcript: new Transcript({ store: record, callId: call.id, system, date }),
    escalate: (request: EscalationRequest, say: (text: string) => Promise<void>) =>
      escalate(request, { ...handOver, say }),
    logger,
    stage,
    modelName: config.model.deployment,
    now,
    signal: call.signal,
    closing,
  };
}

/** CallConnected may be late or lost; a media socket that stays open is proof enough. */
async function waitUntilConnected({ call, config, logger }: CallSessionOptions): Promise<void> {
  const { connectedTimeoutMs } = config.conversation;
  const confirmed = await within(
    call,
    call.connected.then(() => true),
    connectedTimeoutMs,
  );
  if (confirmed === undefined && !call.signal.aborted) {
    logger.warn({ connectedTimeoutMs }, "CallConnected did not come; media is taken as proof");
    call.confirmConnected();
  }
}

type Listener = Conversation["listener"];

/** Recognition starts before the conversation exists; what it hears meanwhile is only its failure. */
function latecomer(): { forward: Listener; follow(listener: Listener): void } {
  let target: Listener | undefined;
  let failure: Parameters<Listener["onFailure"]>[0] | undefined;
  return {
    forward: {
      onOnset: () => target?.onOnset(),
      onHypothesis: (text) => target?.onHypothesis(text),
      onPhrase: (text) => target?.onPhrase(text),
      onNothing: () => target?.onNothing(),
      onFailure: (reason) => {
        failure = reason;
        target?.onFailure(reason);
      },
    },
    follow: (listener) => {
      target = listener;
      if (failure !== undefined) listener.onFailure(failure);
    },
  };
}
