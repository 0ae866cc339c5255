import type { Call, OperationAddress } from "./call.ts";
import { formatParticipant, type Participant } from "./conversation.ts";
import { identifierOf, readIdentifier } from "./identity.ts";
import { connectionPath, type Operation, type OperationRequest, type Reply } from "./operation.ts";
import { contextOf } from "./participant-changes.ts";
import { ENDED_BY_APPLICATION, resultOfRefusal } from "./result.ts";
import { refusal } from "./service-error.ts";
import { readAddress } from "./streaming-operations.ts";
import type { Switchboard } from "./switchboard.ts";

/** Operations on who takes part in a call. */
export function participantOperations(board: Switchboard): Operation[] {
  return [
    {
      name: "GetParticipants",
      method: "GET",
      path: connectionPath("/participants"),
      handle: (request) => list(board, request),
    },
    {
      name: "GetParticipant",
      method: "GET",
      path: connectionPath("/participants/([^/]+)"),
      handle: (request) => get(board, request),
    },
    {
      name: "RemoveParticipant",
      method: "POST",
      path: connectionPath("/participants:remove"),
      isRepeatable: true,
      handle: (request) => remove(board, request),
    },
    {
      name: "Mute",
      method: "POST",
      path: connectionPath("/participants:mute"),
      isRepeatable: true,
      handle: (request) => mute(board, request),
    },
  ];
}

/** Pages by `skip`; `nextLink` is absolute and plain, as its query is part of what gets signed. */
function list(board: Switchboard, { ids: [id = ""], ...request }: OperationRequest): Reply {
  const call = board.find(id);
  const skip = Number(request.query.get("skip") ?? 0);
  const size = Number(request.query.get("maxpagesize") ?? board.core.policy.participantPageSize);
  if (!isCount(skip) || !isCount(size) || size === 0) throw refusal.invalidField("skip");
  const all = call.conversation.listing();
  const next = skip + size;
  const nextLink = `${request.origin}/calling/callConnections/${id}/participants?api-version=${request.apiVersion}&skip=${next}&maxpagesize=${size}`;
  const value = all.slice(skip, next);
  return { status: 200, body: next < all.length ? { value, nextLink } : { value }, call };
}

function get(board: Switchboard, { ids: [id = "", rawId = ""] }: OperationRequest): Reply {
  const call = board.find(id);
  const participant: Participant | undefined = call.conversation.find(identifierOf(rawId));
  if (participant === undefined) throw refusal.participantNotFound();
  return { status: 200, body: formatParticipant(participant), call };
}

/** Taking out one of the last two ends the call: CallDisconnected and nothing else. */
function remove(board: Switchboard, request: OperationRequest): Reply {
  const call = board.findEstablished(request.ids[0] ?? "");
  const participant = findNamed(
    call,
    request.body.raw("participantToRemove"),
    "participantToRemove",
  );
  const address = readAddress(board, request);
  board.core.background.run("remove participant", () => takeOut(board, call, participant, address));
  return { status: 202, body: contextOf(address), call };
}

async function takeOut(
  board: Switchboard,
  call: Call,
  participant: Participant,
  address: OperationAddress,
): Promise<void> {
  const { conversation } = call;
  const { identifier, leg } = participant;
  if (conversation.participants.length <= 2) return board.end(conversation, ENDED_BY_APPLICATION);
  const data = { participant: identifier };
  if (leg === undefined) {
    const own = [...conversation.connections].find(({ options }) => options.bot === identifier);
    await board.leave(own ?? call);
    // Who takes itself out hears of the end of its connection and nothing else.
    return call.emit("RemoveParticipantSucceeded", { ...address, data });
  }
  conversation.leave(identifier);
  try {
    await leg.hangUp();
  } catch (error) {
    if (conversation.isEnding) return;
    board.attach(conversation, identifier, leg);
    return call.emit("RemoveParticipantFailed", {
      ...address,
      data,
      result: resultOfRefusal(error),
    });
  }
  call.emit("RemoveParticipantSucceeded", { ...address, data });
  return board.settle(conversation);
}

function mute(board: Switchboard, { ids: [id = ""], body }: OperationRequest): Reply {
  const call = board.findEstablished(id);
  const named = body
    .list("targetParticipants")
    .map((target) => findNamed(call, target, "targetParticipants"));
  if (named.length === 0) throw refusal.invalidField("targetParticipants");
  for (const participant of named) {
    participant.isMuted = true;
    call.conversation.bridge.set(participant.identifier.rawId, { isMuted: true });
  }
  call.conversation.announce();
  return {
    status: 200,
    body: contextOf({ operationContext: body.optionalText("operationContext"), url: undefined }),
    call,
  };
}

function findNamed(call: Call, value: unknown, name: string): Participant {
  const participant = call.conversation.find(readIdentifier(value, name));
  if (participant === undefined) throw refusal.participantNotFound();
  return participant;
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 0;
}
