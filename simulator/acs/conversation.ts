import type { Clock } from "../clock.ts";
import type { PartyTrace } from "../trace.ts";
import { AudioBridge } from "./audio-bridge.ts";
import { type Call, definedOnly } from "./call.ts";
import type { Identifier } from "./identity.ts";
import type { PstnLeg } from "./pstn.ts";

/** Somebody in a conversation. Applications take part too, without a leg. */
export interface Participant {
  readonly identifier: Identifier;
  readonly leg?: PstnLeg;
  isMuted: boolean;
  isOnHold: boolean;
  /** True while a transfer of this participant is pending: another, or a move, is refused. */
  isTransferring: boolean;
}

export interface ConversationOptions {
  readonly clock: Clock;
  readonly serverCallId: string;
  readonly correlationId: string;
  /** The name of the room or group call it is. */
  readonly meeting?: string | undefined;
  readonly playoutLimitMs: number;
  readonly trace?: PartyTrace;
}

/**
 * What a `serverCallId` names: the participants, their audio, and the applications' connections to
 * it. Most conversations have one connection.
 */
export class Conversation {
  readonly serverCallId: string;
  readonly correlationId: string;
  readonly meeting: string | undefined;
  readonly bridge: AudioBridge;
  readonly connections = new Set<Call>();
  readonly #participants = new Map<string, Participant>();
  #sequence = 0;
  #isEstablished = false;
  #isEnding = false;
  #isOver = false;
  readonly #cleanups = new Set<() => void>();

  constructor(options: ConversationOptions) {
    this.serverCallId = options.serverCallId;
    this.correlationId = options.correlationId;
    this.meeting = options.meeting;
    this.bridge = new AudioBridge({
      clock: options.clock,
      limitMs: options.playoutLimitMs,
      onDrop: (where, droppedMs) => {
        const detail = { where, droppedMs };
        options.trace?.record({ type: "media", kind: "silenced", detail }, this.correlationId);
      },
    });
  }

  /** True from the moment the server side exists; an outgoing call has none while it rings. */
  get isEstablished(): boolean {
    return this.#isEstablished;
  }

  establish(): void {
    this.#isEstablished = true;
  }

  /** True once its end has begun, which takes as long as the BYEs do: nobody joins any more. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  beginEnd(): void {
    this.#isEnding = true;
  }

  /** Runs `cleanup` when the conversation is over (at once if it is); returns how to forget it. */
  onEnd(cleanup: () => void): () => void {
    if (this.#isOver) cleanup();
    else this.#cleanups.add(cleanup);
    return () => void this.#cleanups.delete(cleanup);
  }

  /** Stops everything that runs as long as the conversation does. */
  close(): void {
    this.#isEnding = true;
    this.#isOver = true;
    for (const cleanup of this.#cleanups) cleanup();
    this.#cleanups.clear();
  }

  get participants(): readonly Participant[] {
    return [...this.#participants.values()];
  }

  /** Those who came by telephone or as another application's call. */
  get legs(): readonly (Participant & { leg: PstnLeg })[] {
    return this.participants.flatMap((entry) =>
      entry.leg === undefined ? [] : [Object.assign(entry, { leg: entry.leg })],
    );
  }

  find(identifier: Identifier): Participant | undefined {
    return this.#participants.get(identifier.rawId);
  }

  join(identifier: Identifier, leg?: PstnLeg): Participant {
    const participant: Participant = {
      identifier,
      ...(leg === undefined ? {} : { leg }),
      isMuted: false,
      isOnHold: false,
      isTransferring: false,
    };
    this.#participants.set(identifier.rawId, participant);
    if (leg !== undefined) this.bridge.attach(identifier.rawId, leg);
    return participant;
  }

  /** Takes a participant out; false when it was not there. */
  leave(identifier: Identifier): boolean {
    this.bridge.detach(identifier.rawId);
    return this.#participants.delete(identifier.rawId);
  }

  /** Tells every application who takes part now. Numbers grow, but not by one, as in recordings. */
  announce(): void {
    const data = { participants: this.listing(), sequenceNumber: this.nextSequence() };
    for (const call of this.connections) {
      if (call.isEstablished) call.emit("ParticipantsUpdated", { data });
    }
  }

  nextSequence(): number {
    this.#sequence += this.#sequence === 0 ? 1 : 3;
    return this.#sequence;
  }

  listing(): Record<string, unknown>[] {
    return this.participants.map(formatParticipant);
  }
}

/** `CallParticipant` as it goes on the wire. */
export function formatParticipant(participant: Participant): Record<string, unknown> {
  const { identifier, isMuted, isOnHold } = participant;
  return definedOnly({ identifier, isMuted, isOnHold });
}
