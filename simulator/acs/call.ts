import type { PartyTrace } from "../trace.ts";
import type { CallEvent, ResultInformation } from "./callbacks.ts";
import type { Conversation } from "./conversation.ts";
import type { Identifier } from "./identity.ts";
import { MediaActions } from "./media-actions.ts";
import type { MediaStreamingOptions, TranscriptionOptions } from "./media-options.ts";
import type { MediaStreaming } from "./media-streaming.ts";
import type { Policy } from "./policy.ts";
import type { Transcription } from "./transcription.ts";

/** Which state may follow which; `callConnectionState` on the wire. */
const NEXT = {
  unknown: ["connecting", "connected", "disconnecting", "disconnected"],
  connecting: ["connected", "disconnecting", "disconnected"],
  connected: ["transferring", "disconnecting", "disconnected"],
  transferring: ["transferAccepted", "connected", "disconnecting", "disconnected"],
  transferAccepted: ["connected", "disconnecting", "disconnected"],
  disconnecting: ["disconnected"],
  disconnected: [],
} as const satisfies Record<string, readonly string[]>;

export type CallConnectionState = keyof typeof NEXT;

/** What a call connection is made of; everything an application said when it made it. */
export interface CallOptions {
  readonly callConnectionId: string;
  readonly callbackUri: string;
  readonly apiVersion: string;
  readonly operationContext?: string | undefined;
  readonly source: Identifier;
  readonly targets: readonly Identifier[];
  /** The application's own place in the call. */
  readonly bot: Identifier;
  readonly answeredBy?: { id: string } | undefined;
  /** The called number of an incoming call. */
  readonly answeredFor?: string | undefined;
  readonly sourceCallerIdNumber?: string | undefined;
  readonly sourceDisplayName?: string | undefined;
  readonly cognitiveServicesEndpoint?: string | undefined;
  readonly media?: MediaStreamingOptions | undefined;
  readonly transcription?: TranscriptionOptions | undefined;
}

/** What one mid-call event of a call says besides the call's own ids. */
export interface EventDetail {
  readonly operationContext?: string | undefined;
  /** The operation's own callback address. */
  readonly url?: string | undefined;
  readonly result?: ResultInformation;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly source?: string;
}

/** Where an operation's outcome goes. */
export interface OperationAddress {
  readonly operationContext: string | undefined;
  readonly url: string | undefined;
}

export const SUCCESS: ResultInformation = { code: 200, subCode: 0, message: "" };
export const MEDIA_SUCCESS: ResultInformation = {
  ...SUCCESS,
  message: "Action completed successfully.",
};

/** One application's connection to a conversation: what `callConnectionId` names. */
export class Call {
  readonly options: CallOptions;
  readonly conversation: Conversation;
  /** State of the subscriptions, as `CallConnectionProperties` shows it. */
  readonly subscriptions = { media: "inactive", transcription: "inactive" };
  /** The media socket's control, where the application asked for streaming. */
  streaming: MediaStreaming | undefined;
  transcription: Transcription | undefined;
  readonly actions: MediaActions;
  /** How to stop what plays to participants on hold, by raw id. */
  readonly holdMusic = new Map<string, () => void>();
  /** How to stop continuous DTMF recognition, by raw id. */
  readonly toneWatches = new Map<string, () => void>();
  readonly #trace: PartyTrace;
  readonly #send: (event: CallEvent) => void;
  readonly #cleanups = new Set<() => void>();
  #state: CallConnectionState;

  constructor(options: CallOptions, context: CallContext) {
    this.options = options;
    this.conversation = context.conversation;
    this.#trace = context.trace;
    this.#send = context.send;
    this.#state = context.state;
    this.actions = new MediaActions(context.mediaOperations);
    this.onEnd(() => this.actions.cancelAll());
  }

  get id(): string {
    return this.options.callConnectionId;
  }

  get state(): CallConnectionState {
    return this.#state;
  }

  /** Established, so that operations on the call are taken. */
  get isEstablished(): boolean {
    return this.#state === "connected" || this.#state === "transferring";
  }

  get isOver(): boolean {
    return this.#state === "disconnected";
  }

  /** Over, or about to be: whoever answers now comes too late. */
  get isEnding(): boolean {
    return this.#state === "disconnecting" || this.isOver;
  }

  move(to: CallConnectionState): void {
    const allowed: readonly CallConnectionState[] = NEXT[this.#state];
    if (!allowed.includes(to)) throw new Error(`call ${this.id}: ${this.#state} -> ${to}`);
    this.#trace.record(
      { type: "state", subject: "call", id: this.id, from: this.#state, to },
      this.id,
    );
    this.#state = to;
  }

  /** Sends a mid-call event; after `CallDisconnected` there are none, so it is dropped. */
  emit(type: string, detail: EventDetail = {}): void {
    if (this.isOver) return;
    this.#send({
      type,
      callConnectionId: this.id,
      serverCallId: this.conversation.serverCallId,
      correlationId: this.conversation.correlationId,
      version: this.options.apiVersion,
      url: detail.url ?? this.options.callbackUri,
      operationContext: detail.operationContext,
      result: detail.result ?? SUCCESS,
      ...(detail.data === undefined ? {} : { data: detail.data }),
      ...(detail.source === undefined ? {} : { source: detail.source }),
    });
  }

  /** Runs `cleanup` when the call ends (at once if it has); returns how to forget it. */
  onEnd(cleanup: () => void): () => void {
    if (this.isOver) cleanup();
    else this.#cleanups.add(cleanup);
    return () => void this.#cleanups.delete(cleanup);
  }

  /** Ends the connection: stops everything it runs, then says so by an event of `type`. */
  disconnect(result: ResultInformation, type = "CallDisconnected"): void {
    if (this.isOver) return;
    this.close();
    const { operationContext } = this.options;
    this.emit(type, { result, operationContext });
    this.move("disconnected");
  }

  /** Stops everything the call runs, without an event. */
  close(): void {
    for (const cleanup of this.#cleanups) cleanup();
    this.#cleanups.clear();
  }

  /** `CallConnectionProperties`; members without a value are left out. */
  properties(): Record<string, unknown> {
    const { options, conversation } = this;
    return definedOnly({
      callConnectionId: this.id,
      serverCallId: conversation.isEstablished ? conversation.serverCallId : undefined,
      targets: options.targets,
      callConnectionState: this.#state,
      callbackUri: options.callbackUri,
      sourceCallerIdNumber: phoneValue(options.sourceCallerIdNumber),
      sourceDisplayName: options.sourceDisplayName,
      source: options.source,
      correlationId: conversation.correlationId,
      answeredBy: options.answeredBy,
      answeredFor: phoneValue(options.answeredFor),
      mediaStreamingSubscription: options.media && {
        id: this.id,
        state: this.subscriptions.media,
        subscribedContentTypes: ["audio"],
      },
      transcriptionSubscription: options.transcription && {
        id: this.id,
        state: this.subscriptions.transcription,
        subscribedResultTypes: options.transcription.sendsIntermediate
          ? ["final", "intermediate"]
          : ["final"],
        locale: options.transcription.locale,
      },
    });
  }
}

export interface CallContext {
  readonly conversation: Conversation;
  readonly trace: PartyTrace;
  readonly send: (event: CallEvent) => void;
  readonly state: CallConnectionState;
  readonly mediaOperations: Policy["mediaOperations"];
}

function phoneValue(value: string | undefined): { value: string } | undefined {
  return value === undefined ? undefined : { value };
}

/** Absent members are omitted on the wire, never null. */
export function definedOnly(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
