import type { Call } from "./call.ts";
import { describe, readCallSettings } from "./call-operations.ts";
import type { Conversation } from "./conversation.ts";
import { dial, type OutgoingCall } from "./dial.ts";
import { strike } from "./fault-strike.ts";
import { Fields } from "./fields.ts";
import { type Identifier, identifierOf, isE164, numberOf, readIdentifier } from "./identity.ts";
import type { Operation, OperationRequest, Reply } from "./operation.ts";
import { ENDED_BY_APPLICATION } from "./result.ts";
import { refusal } from "./service-error.ts";
import type { RingingCall, Switchboard } from "./switchboard.ts";

const CONNECTIONS = "/calling/callConnections";

/** Operations that make calls: create, redirect, connect to what exists. */
export function outgoingOperations(board: Switchboard): Operation[] {
  return [
    {
      name: "CreateCall",
      method: "POST",
      path: new RegExp(`^${CONNECTIONS}$`),
      isRepeatable: true,
      handle: (request) => create(board, request),
    },
    {
      name: "RedirectCall",
      method: "POST",
      path: new RegExp(`^${CONNECTIONS}:redirect$`),
      isRepeatable: true,
      handle: (request) => redirect(board, request),
    },
    {
      name: "Connect",
      method: "POST",
      path: new RegExp(`^${CONNECTIONS}:connect$`),
      isRepeatable: true,
      handle: (request) => connect(board, request),
    },
  ];
}

function create(board: Switchboard, request: OperationRequest): Reply {
  const { body } = request;
  const settings = readCallSettings(board, request);
  const targets = body.list("targets").map((target) => readIdentifier(target, "targets"));
  const isDistinct = new Set(targets.map(({ rawId }) => rawId)).size === targets.length;
  if (targets.length === 0 || !isDistinct) throw refusal.invalidField("targets");
  const callerId = readCallerId(body);
  for (const target of targets) requireCallerId(target, callerId);
  const sourceId = body.fields("source")?.text("id");
  const source = sourceId === undefined ? undefined : identifierOf(sourceId);
  const bot = source ?? board.newIdentity();
  const sourceDisplayName = body.optionalText("sourceDisplayName") ?? "";
  board.requireRoom();
  const call = board.connect(
    board.newConversation(),
    {
      ...settings,
      source: bot,
      targets,
      bot,
      sourceCallerIdNumber: callerId,
      sourceDisplayName,
    },
    "connecting",
  );
  const reply = describe(201, call);
  board.core.background.run("create call", (signal) => place(board, call, signal));
  return reply;
}

/** Rings every target; the first to answer makes the call, later ones join it. */
async function place(board: Switchboard, call: Call, signal: AbortSignal): Promise<void> {
  const { targets } = call.options;
  const over = new AbortController();
  call.onEnd(() => over.abort());
  const either = AbortSignal.any([signal, over.signal]);
  const outcomes = await Promise.allSettled(
    targets.map((target) => placeOne(board, { call, target, signal: either })),
  );
  const failure = outcomes.find((outcome) => outcome.status === "rejected");
  const isAnswered = outcomes.some((outcome) => outcome.status === "fulfilled");
  if (isAnswered || failure === undefined || call.isEnding) return;
  board.abandon(call, ["CreateCallFailed", "CallDisconnected"], failure.reason);
}

async function placeOne(
  board: Switchboard,
  { call, target, signal }: { call: Call; target: Identifier; signal: AbortSignal },
): Promise<void> {
  const { options, conversation } = call;
  const leg = await dial(board, {
    target,
    source: options.source,
    callerId: options.sourceCallerIdNumber,
    correlationId: conversation.correlationId,
    timeoutMs: board.core.policy.dialTimeoutMs,
    signal,
  });
  if (call.isEnding) {
    await leg.hangUp();
    return;
  }
  board.attach(conversation, target, leg);
  if (call.isEstablished) conversation.announce();
  else establish(board, call);
}

function establish(board: Switchboard, call: Call): void {
  if (call.options.media?.startsAtOnce === true) {
    const { operationContext } = call.options;
    call.streaming?.start({ operationContext, url: undefined });
  }
  board.establish(call);
}

/** The caller goes to somebody else and leaves the application's sight. */
function redirect(board: Switchboard, { body }: OperationRequest): Reply {
  const context = body.text("incomingCallContext");
  const target = readIdentifier(body.raw("target"), "target");
  const ringing = board.take(context);
  board.core.background.run("redirect", (signal) => forward(board, { ringing, target, signal }));
  return { status: 204 };
}

async function forward(
  board: Switchboard,
  { ringing, target, signal }: { ringing: RingingCall; target: Identifier; signal: AbortSignal },
): Promise<void> {
  const { leg, from } = ringing;
  const gone = new AbortController();
  void leg.ended.then(() => gone.abort());
  const conversation = board.newConversation({
    serverCallId: ringing.serverCallId,
    correlationId: leg.correlationId,
  });
  try {
    const other = await dial(board, {
      target,
      source: from,
      callerId: from.phoneNumber?.value,
      correlationId: leg.correlationId,
      redirectedFrom: divertedFrom(ringing),
      timeoutMs: board.core.policy.dialTimeoutMs,
      signal: AbortSignal.any([signal, gone.signal]),
    });
    board.attach(conversation, target, other);
    await leg.answer();
    board.attach(conversation, from, leg);
  } catch {
    // Whatever refused is in the trace as SIP; the caller hears that nobody is there.
    leg.reject(480, "Temporarily Unavailable");
    await board.end(conversation, ENDED_BY_APPLICATION);
  }
}

/** The telephone number the caller had dialled; applications have none. */
function divertedFrom({ leg, to }: RingingCall): OutgoingCall["redirectedFrom"] {
  const number = numberOf(to);
  if (number === undefined) return undefined;
  return leg.historyInfo === undefined ? { number } : { number, historyInfo: leg.historyInfo };
}

function connect(board: Switchboard, request: OperationRequest): Reply {
  const settings = readCallSettings(board, request);
  const locator = Fields.of(request.body.raw("callLocator"), "callLocator");
  board.requireRoom();
  const conversation = locate(board, locator, (name) => board.meeting(name));
  const bot = board.newIdentity();
  const call = board.connect(
    conversation,
    { ...settings, source: bot, targets: [], bot },
    "connecting",
  );
  const reply = describe(200, call);
  board.core.background.run("connect", async () => {
    if (strike(board.core, "acs.fail-connect", { call: call.id }) === undefined)
      return establish(board, call);
    return board.abandon(call, ["ConnectFailed"], new Error("The connection failed."));
  });
  return reply;
}

/** The conversation a locator names; that of a room or group call comes from `meeting`. */
export function locate(
  board: Switchboard,
  locator: Fields,
  meeting: (name: string) => Conversation,
): Conversation {
  const kind = locator.choice("kind", ["serverCallLocator", "groupCallLocator", "roomCallLocator"]);
  switch (kind) {
    case "roomCallLocator":
      return meeting(`room:${locator.text("roomId")}`);
    case "groupCallLocator":
      return meeting(`group:${locator.text("groupCallId")}`);
    default:
      return board.findConversation(locator.text("serverCallId"));
  }
}

/** `sourceCallerIdNumber`, checked; undefined when absent. */
export function readCallerId(body: Fields): string | undefined {
  const number = body.fields("sourceCallerIdNumber")?.text("value");
  if (number !== undefined && !isE164(number)) throw refusal.invalidField("sourceCallerIdNumber");
  return number;
}

/** A telephone has to see a number. */
export function requireCallerId(target: Identifier, callerId: string | undefined): void {
  if (target.kind === "phoneNumber" && callerId === undefined) {
    throw refusal.invalidField("sourceCallerIdNumber");
  }
}
