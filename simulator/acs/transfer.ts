import { type Call, SUCCESS } from "./call.ts";
import type { Conversation, Participant } from "./conversation.ts";
import { readCustomHeaders } from "./custom-context.ts";
import { dial } from "./dial.ts";
import { strike } from "./fault-strike.ts";
import type { Fields } from "./fields.ts";
import { type Identifier, optionalIdentifier, readIdentifier } from "./identity.ts";
import { connectionPath, type Operation, type OperationRequest, type Reply } from "./operation.ts";
import { readCallerId } from "./outgoing-operations.ts";
import { type PstnLeg, PstnRefusal, type TransferLegOptions } from "./pstn.ts";
import { ENDED_BY_APPLICATION, resultOfRefusal } from "./result.ts";
import { refusal } from "./service-error.ts";
import type { Switchboard } from "./switchboard.ts";

interface Transfer {
  readonly transferee: Participant & { leg: PstnLeg };
  readonly target: Identifier;
  readonly options: TransferLegOptions;
  readonly voipHeaders: Readonly<Record<string, string>>;
  readonly operationContext: string | undefined;
  readonly url: string | undefined;
}

/**
 * TransferToParticipant: 202 at once; then CallTransferAccepted and the end of this connection, or
 * CallTransferFailed and the call as it was. Fault `acs.drop-failed-transfer`: the call ends too.
 */
export function transferOperations(board: Switchboard): Operation[] {
  return [
    {
      name: "TransferToParticipant",
      method: "POST",
      path: connectionPath(":transferToParticipant"),
      isRepeatable: true,
      handle: (request) => transferToParticipant(board, request),
    },
  ];
}

function transferToParticipant(board: Switchboard, request: OperationRequest): Reply {
  const { body } = request;
  const call = board.findEstablished(request.ids[0] ?? "");
  const transfer = readTransfer(board, call, body);
  const { transferee, operationContext } = transfer;
  if (call.state === "transferring" || transferee.isTransferring) throw refusal.transferPending();
  call.move("transferring");
  transferee.isTransferring = true;
  board.core.background.run("transfer", (signal) => carryOut(board, { call, transfer, signal }));
  return { status: 202, body: operationContext === undefined ? {} : { operationContext }, call };
}

function readTransfer(board: Switchboard, call: Call, body: Fields): Transfer {
  const from = readCallerId(body);
  const { sipHeaders, voipHeaders } = readCustomHeaders(board.core, call, body);
  return {
    target: readIdentifier(body.raw("targetParticipant"), "targetParticipant"),
    transferee: findTransferee(call, optionalIdentifier(body, "transferee")),
    options: {
      sipHeaders,
      ...(from === undefined ? {} : { from }),
    },
    voipHeaders,
    operationContext: body.optionalText("operationContext"),
    url: board.core.urls.optionalCallback(body),
  };
}

/** Whoever is named, or the only other party of a 1:1 call. */
function findTransferee(call: Call, named: Identifier | undefined): Transfer["transferee"] {
  const { legs } = call.conversation;
  if (named !== undefined) {
    const found = legs.find(({ identifier }) => identifier.rawId === named.rawId);
    if (found === undefined) throw refusal.participantNotFound();
    return found;
  }
  const [only, ...others] = legs;
  if (only === undefined || others.length > 0) throw refusal.invalidField("transferee");
  return only;
}

async function carryOut(
  board: Switchboard,
  { call, transfer, signal }: { call: Call; transfer: Transfer; signal: AbortSignal },
): Promise<void> {
  const { transferee, target, options } = transfer;
  try {
    const number = target.phoneNumber?.value;
    if (number === undefined) await joinApplication(board, { call, transfer, signal });
    else await transferee.leg.transfer(number, { ...options, signal });
  } catch (error) {
    await failed(board, { call, transfer, error });
    return;
  } finally {
    transferee.isTransferring = false;
  }
  await accepted(board, call, transfer);
}

/** To another application: its IncomingCall is answered, then the transferee goes over to it. */
async function joinApplication(
  board: Switchboard,
  { call, transfer, signal }: { call: Call; transfer: Transfer; signal: AbortSignal },
): Promise<void> {
  const { transferee, target, voipHeaders } = transfer;
  const { correlationId } = call.conversation;
  const leg = await dial(board, {
    target,
    source: transferee.identifier,
    correlationId,
    voipHeaders,
    timeoutMs: board.core.policy.dialTimeoutMs,
    signal,
  });
  if (call.conversation.find(transferee.identifier) !== transferee) {
    await leg.hangUp();
    throw new PstnRefusal("The transferee has left the call.", { code: 487, subCode: 8542 });
  }
  call.conversation.leave(transferee.identifier);
  const conversation = board.newConversation({ correlationId });
  board.attach(conversation, transferee.identifier, transferee.leg);
  board.attach(conversation, target, leg);
}

async function accepted(board: Switchboard, call: Call, transfer: Transfer): Promise<void> {
  const { conversation } = call;
  const { transferee, target, operationContext, url } = transfer;
  if (conversation.isEnding) return;
  // The application may have left meanwhile; the others go on without the transferee all the same.
  if (call.isOver) return takeOut(board, conversation, transferee);
  call.move("transferAccepted");
  call.emit("CallTransferAccepted", {
    operationContext,
    url,
    result: SUCCESS,
    data: { transferTarget: target, transferee: transferee.identifier },
  });
  const subCode = board.core.policy.transferredSubCode;
  const result = { ...ENDED_BY_APPLICATION, subCode };
  const others = conversation.legs.filter((entry) => entry !== transferee);
  if (others.length === 0) return board.end(conversation, result);
  call.move("connected");
  return takeOut(board, conversation, transferee);
}

async function takeOut(
  board: Switchboard,
  conversation: Conversation,
  { identifier, leg }: Transfer["transferee"],
): Promise<void> {
  const isHere = conversation.leave(identifier);
  board.settle(conversation);
  if (isHere) await leg.hangUp();
}

async function failed(
  board: Switchboard,
  { call, transfer, error }: { call: Call; transfer: Transfer; error: unknown },
): Promise<void> {
  if (call.state !== "transferring") return;
  call.move("connected");
  const { operationContext, url } = transfer;
  const result = resultOfRefusal(error);
  call.emit("CallTransferFailed", { operationContext, url, result });
  if (strike(board.core, "acs.drop-failed-transfer", { call: call.id }) === undefined) return;
  await board.end(call.conversation, result);
}
