import { formatParticipant, type Participant } from "./conversation.ts";
import { identifierOf } from "./identity.ts";
import { connectionPath, type Operation, type OperationRequest, type Reply } from "./operation.ts";
import { refusal } from "./service-error.ts";
import type { Switchboard } from "./switchboard.ts";

const PAGE_SIZE = 100;

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
  ];
}

/** Pages by `skip`; `nextLink` is absolute and plain, as its query is part of what gets signed. */
function list(board: Switchboard, { ids: [id = ""], ...request }: OperationRequest): Reply {
  const call = board.find(id);
  const skip = Number(request.query.get("skip") ?? 0);
  const size = Number(request.query.get("maxpagesize") ?? PAGE_SIZE);
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

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 0;
}
