import type { Call } from "./call.ts";
import type { Fields } from "./fields.ts";
import { identifierOf } from "./identity.ts";
import { readMediaStreaming, readTranscription } from "./media-options.ts";
import { connectionPath, type Operation, type OperationRequest, type Reply } from "./operation.ts";
import { ENDED_BY_APPLICATION } from "./result.ts";
import { refusal } from "./service-error.ts";
import type { RingingCall, Switchboard } from "./switchboard.ts";

const CONNECTIONS = "/calling/callConnections";

/** Operations on incoming calls and on calls as a whole. */
export function callOperations(board: Switchboard): Operation[] {
  return [
    {
      name: "AnswerCall",
      method: "POST",
      path: new RegExp(`^${CONNECTIONS}:answer$`),
      isRepeatable: true,
      handle: (request) => answer(board, request),
    },
    {
      name: "RejectCall",
      method: "POST",
      path: new RegExp(`^${CONNECTIONS}:reject$`),
      isRepeatable: true,
      handle: (request) => reject(board, request),
    },
    {
      name: "GetCall",
      method: "GET",
      path: connectionPath(),
      handle: ({ ids: [id = ""] }) => describe(200, board.find(id)),
    },
    {
      name: "HangupCall",
      method: "DELETE",
      path: connectionPath(),
      handle: (request) => hangUp(board, request),
    },
    {
      name: "TerminateCall",
      method: "POST",
      path: connectionPath(":terminate"),
      isRepeatable: true,
      handle: (request) => terminate(board, request),
    },
  ];
}

/** What answer, create and connect have in common. */
export function readCallSettings(board: Switchboard, { body, apiVersion }: OperationRequest) {
  const { urls } = board.core;
  return {
    apiVersion,
    callbackUri: urls.callback(body, "callbackUri"),
    operationContext: body.optionalText("operationContext"),
    cognitiveServicesEndpoint: readCognitiveServices(body),
    media: readMediaStreaming(body, urls),
    transcription: readTranscription(body, urls),
  };
}

function readCognitiveServices(body: Fields): string | undefined {
  return body.fields("callIntelligenceOptions")?.optionalText("cognitiveServicesEndpoint");
}

function answer(board: Switchboard, request: OperationRequest): Reply {
  const { body } = request;
  const context = body.text("incomingCallContext");
  const settings = readCallSettings(board, request);
  const answeredBy = body.fields("answeredBy")?.text("id");
  board.requireRoom();
  const ringing = board.take(context);
  const conversation = board.newConversation({
    serverCallId: ringing.serverCallId,
    correlationId: ringing.leg.correlationId,
  });
  conversation.establish();
  const call = board.connect(
    conversation,
    {
      ...settings,
      source: ringing.from,
      targets: [ringing.to],
      bot: answeredBy === undefined ? undefined : identifierOf(answeredBy),
      answeredBy: answeredBy === undefined ? undefined : { id: answeredBy },
      answeredFor: ringing.to.phoneNumber?.value,
    },
    "unknown",
  );
  const reply = describe(200, call);
  if (call.options.media?.startsAtOnce === true) {
    call.streaming?.start({ operationContext: settings.operationContext, url: undefined });
  }
  board.core.background.run("answer", () => pickUp(board, call, ringing));
  return reply;
}

async function pickUp(board: Switchboard, call: Call, ringing: RingingCall): Promise<void> {
  try {
    await ringing.leg.answer();
  } catch (error) {
    board.abandon(call, ["AnswerFailed"], error);
    return;
  }
  if (call.isEnding) {
    await ringing.leg.hangUp();
    return;
  }
  board.attach(call.conversation, ringing.from, ringing.leg);
  board.establish(call);
}

function reject(board: Switchboard, { body }: OperationRequest): Reply {
  const context = body.text("incomingCallContext");
  const reason = body.choice("callRejectReason", ["none", "busy", "forbidden"]) ?? "none";
  const phrases = { none: "Decline", busy: "Busy Here", forbidden: "Forbidden" };
  board.take(context).leg.reject(board.core.policy.rejectStatus[reason], phrases[reason]);
  return { status: 204 };
}

function hangUp(board: Switchboard, { ids: [id = ""] }: OperationRequest): Reply {
  const call = endable(board, id);
  board.core.background.run("hang up", () => board.leave(call));
  return { status: 204, call };
}

function terminate(board: Switchboard, { ids: [id = ""] }: OperationRequest): Reply {
  const call = endable(board, id);
  board.core.background.run("terminate", () => board.end(call.conversation, ENDED_BY_APPLICATION));
  return { status: 204, call };
}

function endable(board: Switchboard, id: string): Call {
  const call = board.find(id);
  if (call.state === "disconnecting") throw refusal.terminated();
  return call;
}

export function describe(status: number, call: Call): Reply {
  return { status, body: call.properties(), call };
}
