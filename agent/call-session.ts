import type { WebSocket } from "ws";
import type { Call } from "./call.ts";
import type { Config } from "./config.ts";
import { Conversation, type ConversationEnd } from "./conversation.ts";
import { escalate } from "./escalation.ts";
import type { IncomingCall } from "./events.ts";
import { Hearing } from "./hearing.ts";
import type { Model } from "./llm.ts";
import { MediaStream } from "./media-stream.ts";
import { greeting } from "./phrases.ts";
import { type PreparedSpeech, withHeadStart, withPhrases } from "./prepared-voice.ts";
import { systemMessages } from "./prompt.ts";
import type { Customer, Store } from "./store.ts";
import { describeError, type Logger } from "./telemetry.ts";
import { openToolbox } from "./tools.ts";
import { countCall, Stage } from "./tracing.ts";
import { Transcript } from "./transcript.ts";
import { openVoice, type Voice } from "./tts.ts";

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
}

/**
 * One call from its ringing to its record. When this function returns, the call is over and
 * everything it opened is closed. Never rejects.
 */
export async function runCall(options: CallSessionOptions): Promise<void> {
  const { call, store, logger, date, incoming } = options;
  const { context, correlationId, callerNumber } = incoming;
  using stage = Stage.call(call.id);
  let end: ConversationEnd = { outcome: "failed" };
  try {
    // Before answering: the caller must not wait, in silence, for a database.
    const customer = findCustomer(store, incoming);
    const customerId = customer?.id ?? context.customerId;
    const { transferReason } = context;
    store.startCall({
      id: call.id,
      correlationId,
      callerNumber,
      customerId,
      transferReason,
      at: date(),
    });
    logger.info({ knownCustomer: customer !== undefined }, "call is ringing");
    end = await attend({ ...options, customer, stage });
  } catch (error) {
    logger.error({ err: describeError(error) }, "call failed");
    end = { outcome: call.signal.aborted ? "caller-left" : "failed" };
  }
  await leave(options);
  const { outcome, detail } = call.transferred ? { ...end, outcome: "escalated" as const } : end;
  store.endCall(call.id, { ...end, outcome, at: date() });
  stage.set({ "call.outcome": outcome });
  countCall(outcome);
  logger.info({ outcome, detail }, "call ended");
}

/** Hangs up, unless the caller has been handed over, once the last words have left the line. */
async function leave({ call, config }: CallSessionOptions): Promise<void> {
  if (call.transferred) return;
  if (call.state === "connected") await within(call, NEVER, config.media.lingerMs);
  await call.hangUp();
}

const NEVER = new Promise<never>(() => {});

interface AttendedCall extends CallSessionOptions {
  readonly customer: Customer | undefined;
  readonly stage: Stage;
}

/** The header names the customer; without one that is known, the number they call from does. */
function findCustomer(store: Store, { context, callerNumber }: IncomingCall): Customer | undefined {
  const named = context.customerId === undefined ? undefined : store.customer(context.customerId);
  return named ?? store.customerByPhone(callerNumber);
}

/** Answers, waits for the media socket, and lets the conversation run. */
async function attend(options: AttendedCall): Promise<ConversationEnd> {
  const { call, config, incoming, callbackUrl, mediaUrl, logger, customer } = options;
  const speech = { ...config.speech, rateHz: config.media.rateHz };
  // Connections are opened and the greeting is synthesised while the call is being answered.
  const hello = greeting(config.conversation.company, customer, incoming.context);
  const phrased = withPhrases(openVoice(speech), options.phrases);
  await using voice = withHeadStart(phrased, hello, call);
  const listener = latecomer();
  await using hearing = new Hearing({ speech, listener: listener.forward, logger });
  const { incomingCallContext } = incoming;
  const { rateHz } = config.media;
  await call.answer({ incomingCallContext, callbackUrl, mediaUrl, rateHz });
  const socket = await within(call, call.media, config.conversation.mediaTimeoutMs);
  if (socket === undefined) return withoutMedia(options);
  const media = openMedia(options, socket, hearing);
  const conversation = converse(options, { media, voice, hello });
  listener.follow(conversation.listener);
  call.onMediaReturned((returned) => {
    logger.info({}, "media socket came back");
    media.attach(returned);
    conversation.lineReturned();
  });
  await waitUntilConnected(options);
  const end = await conversation.run();
  // Before the connections are closed, which takes a moment the caller would spend in silence.
  await leave(options);
  media.close();
  return end;
}

function openMedia(
  { config, now, logger }: CallSessionOptions,
  socket: WebSocket,
  hearing: Hearing,
): MediaStream {
  const { rateHz } = config.media;
  return new MediaStream(socket, {
    ...config.media,
    graceMs: config.conversation.mediaTimeoutMs,
    now,
    onAudio: (samples) => hearing.write(samples),
    onMetadata: (metadata) => {
      if (metadata.rateHz !== rateHz)
        logger.error({ ...metadata, expected: rateHz }, "media rate differs");
    },
  });
}

interface Parts {
  readonly media: MediaStream;
  readonly voice: Voice;
  readonly hello: string;
}

function converse(options: AttendedCall, { media, voice, hello }: Parts): Conversation {
  const { call, config, incoming, store, model, logger, ids, date, now, customer, stage } = options;
  const { context } = incoming;
  const { company } = config.conversation;
  const system = systemMessages(company, customer, context);
  const customerId = customer?.id ?? context.customerId;
  return new Conversation({
    config: config.conversation,
    greeting: hello,
    media,
    voice,
    model,
    toolbox: openToolbox({ customer }),
    transcript: new Transcript({ store, callId: call.id, system, date }),
    escalate: (request, say) =>
      escalate(request, {
        call,
        config: config.escalation,
        lingerMs: config.media.lingerMs,
        context,
        customerId,
        logger,
        ids,
        say,
      }),
    logger,
    stage,
    modelName: config.model.deployment,
    now,
    signal: call.signal,
  });
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

/** The caller is connected and cannot be heard or spoken to: only a human helps. */
async function withoutMedia({
  call,
  config,
  incoming,
  logger,
  ids,
  customer,
}: AttendedCall): Promise<ConversationEnd> {
  if (call.signal.aborted) return { outcome: "caller-left" };
  logger.error({}, "media socket did not open");
  call.confirmConnected();
  const request = {
    summary: "The voice agent had no audio.",
    reason: "technical",
    announced: true,
  };
  const transfer = await escalate(request, {
    call,
    config: config.escalation,
    lingerMs: 0,
    context: incoming.context,
    customerId: customer?.id,
    logger,
    ids,
    say: () => Promise.resolve(),
  });
  return { outcome: transfer.accepted ? "escalated" : "failed", detail: "no media" };
}

/** The value, or undefined when the time is up or the call has ended. */
async function within<Value>(
  call: Call,
  value: Promise<Value>,
  timeoutMs: number,
): Promise<Value | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), timeoutMs);
  const abort = () => resolve(undefined);
  call.signal.addEventListener("abort", abort, { once: true });
  if (call.signal.aborted) abort();
  try {
    return await Promise.race([value, promise]);
  } finally {
    clearTimeout(timer);
    call.signal.removeEventListener("abort", abort);
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
