import { type Call, type OperationAddress, SUCCESS } from "./call.ts";
import { type Conversation, formatParticipant } from "./conversation.ts";
import { readCustomHeaders } from "./custom-context.ts";
import { dial } from "./dial.ts";
import { strike } from "./fault-strike.ts";
import { type Identifier, readIdentifier } from "./identity.ts";
import { connectionPath, type Operation, type OperationRequest, type Reply } from "./operation.ts";
import { readCallerId, requireCallerId } from "./outgoing-operations.ts";
import { resultOfRefusal } from "./result.ts";
import { refusal } from "./service-error.ts";
import { readAddress } from "./streaming-operations.ts";
import type { Switchboard } from "./switchboard.ts";

/** Longest time a participant may ring, in seconds (REST specification). */
const INVITATION_LIMIT_SECONDS = 180;

/** Operations that bring participants into a call. */
export function joiningOperations(board: Switchboard): Operation[] {
  const invitations: Invitations = new Map();
  return [
    {
      name: "AddParticipant",
      method: "POST",
      path: connectionPath("/participants:add"),
      isRepeatable: true,
      saysAccepted: true,
      handle: (request) => add(board, request, invitations),
    },
    {
      name: "CancelAddParticipant",
      method: "POST",
      path: connectionPath("/participants:cancelAddParticipant"),
      isRepeatable: true,
      handle: (request) => cancelAdd(board, request, invitations),
    },
    {
      name: "MoveParticipants",
      method: "POST",
      path: connectionPath("/participants:moveHere"),
      isRepeatable: true,
      handle: (request) => move(board, request),
    },
  ];
}

/** Who rings at the moment, by invitationId. */
type Invitations = Map<string, { call: Call; target: Identifier; cancel: () => void }>;

function add(board: Switchboard, request: OperationRequest, invitations: Invitations): Reply {
  const { body, ids } = request;
  const call = board.findEstablished(ids[0] ?? "");
  const target = readIdentifier(body.raw("participantToAdd"), "participantToAdd");
  const callerId = readCallerId(body) ?? call.options.sourceCallerIdNumber;
  requireCallerId(target, callerId);
  const address = readAddress(board, request);
  const seconds = body.count("invitationTimeoutInSeconds", [0, INVITATION_LIMIT_SECONDS]);
  const headers = readCustomHeaders(board.core, call, body);
  if (call.conversation.find(target) !== undefined) throw refusal.conflict("Already in the call.");
  const rings = [...invitations.values()].some(
    (other) => other.call === call && other.target.rawId === target.rawId,
  );
  if (rings) throw refusal.conflict("Already invited.");
  const cancelled = new AbortController();
  const invitationId = board.core.ids.guid();
  const forget = call.onEnd(() => cancelled.abort());
  invitations.set(invitationId, { call, target, cancel: () => cancelled.abort() });
  board.core.background.run("add participant", async (signal) => {
    const either = AbortSignal.any([signal, cancelled.signal]);
    const ringing = { target, callerId, headers, address, seconds, signal: either };
    await invite(board, call, ringing).finally(() => {
      forget();
      invitations.delete(invitationId);
    });
  });
  const participant = { identifier: target, isMuted: false, isOnHold: false };
  return { status: 202, body: { participant, ...contextOf(address), invitationId }, call };
}

interface Invitation {
  readonly target: Identifier;
  readonly callerId: string | undefined;
  readonly headers: ReturnType<typeof readCustomHeaders>;
  readonly address: OperationAddress;
  readonly seconds: number | undefined;
  readonly signal: AbortSignal;
}

async function invite(board: Switchboard, call: Call, invitation: Invitation): Promise<void> {
  const { target, callerId, headers, address, signal } = invitation;
  const { conversation, options } = call;
  const data = { participant: target };
  try {
    const leg = await dial(board, {
      target,
      source: options.bot,
      callerId,
      correlationId: conversation.correlationId,
      ...headers,
      timeoutMs: invitation.seconds ? invitation.seconds * 1000 : board.core.policy.dialTimeoutMs,
      signal,
    });
    if (call.isEnding || signal.aborted) {
      await leg.hangUp();
      return;
    }
    board.attach(conversation, target, leg);
    call.emit("AddParticipantSucceeded", { ...address, data, result: SUCCESS });
    conversation.announce();
  } catch (error) {
    // A cancelled invitation is reported by the operation that cancelled it.
    if (signal.aborted) return;
    call.emit("AddParticipantFailed", { ...address, data, result: resultOfRefusal(error) });
  }
}

function cancelAdd(board: Switchboard, request: OperationRequest, invitations: Invitations): Reply {
  const call = board.findEstablished(request.ids[0] ?? "");
  const invitationId = request.body.text("invitationId");
  const address = readAddress(board, request);
  const invitation = invitations.get(invitationId);
  const isOurs = invitation?.call === call;
  if (isOurs) invitation.cancel();
  const data = { invitationId };
  if (isOurs) call.emit("CancelAddParticipantSucceeded", { ...address, data });
  else {
    const message = "The invitation is not pending.";
    const result = { code: 404, subCode: 8522, message };
    call.emit("CancelAddParticipantFailed", { ...address, data, result });
  }
  return { status: 202, body: { invitationId, ...contextOf(address) }, call };
}

function move(board: Switchboard, request: OperationRequest): Reply {
  const { body, ids } = request;
  const call = board.findEstablished(ids[0] ?? "");
  const fromCall = body.text("fromCall");
  const origin = board.findEstablished(fromCall);
  if (origin === call) throw refusal.invalidField("fromCall");
  const targets = body
    .list("targetParticipants")
    .map((target) => readIdentifier(target, "targetParticipants"));
  if (targets.length === 0) throw refusal.invalidField("targetParticipants");
  const moving = targets.map((target) => {
    const participant = origin.conversation.find(target);
    if (participant?.leg === undefined) throw refusal.participantNotFound();
    if (participant.isTransferring) throw refusal.transferPending();
    return participant;
  });
  const address = readAddress(board, request);
  board.core.background.run("move participants", async () => {
    for (const { identifier } of moving) {
      const route = { identifier, from: origin.conversation, to: call.conversation };
      const data = { participant: identifier, fromCall };
      if (moveOne(board, route)) call.emit("MoveParticipantSucceeded", { ...address, data });
      else call.emit("MoveParticipantFailed", { ...address, data, result: GONE });
    }
    call.conversation.announce();
    board.settle(origin.conversation);
  });
  const participants = moving.map(formatParticipant);
  return { status: 202, body: { participants, fromCall, ...contextOf(address) }, call };
}

/** False when the participant is no longer here, or one of that name is there. Fault `acs.fail-move`. */
function moveOne(
  board: Switchboard,
  { identifier, from, to }: { identifier: Identifier; from: Conversation; to: Conversation },
): boolean {
  const leg = from.find(identifier)?.leg;
  if (leg === undefined || to.isEnding || to.find(identifier) !== undefined) return false;
  if (strike(board.core, "acs.fail-move") !== undefined) return false;
  from.leave(identifier);
  board.attach(to, identifier, leg);
  return true;
}

const GONE = { code: 404, subCode: 8522, message: "Participant not found." };

/** `operationContext` in an answer's body, where there is one. */
export function contextOf({ operationContext }: OperationAddress): { operationContext?: string } {
  return operationContext === undefined ? {} : { operationContext };
}
