import { type Call, MEDIA_SUCCESS, type OperationAddress } from "./call.ts";
import type { Participant } from "./conversation.ts";
import type { Fields } from "./fields.ts";
import { readIdentifier } from "./identity.ts";
import { CANCELED, MediaFailure, resultOfFailure } from "./media-failure.ts";
import { connectionPath, type Operation, type OperationRequest, type Reply } from "./operation.ts";
import { loadPrompts, type PlaySource, playPrompts, readPlaySources } from "./prompt.ts";
import { refusal } from "./service-error.ts";
import { readAddress } from "./streaming-operations.ts";
import type { Switchboard } from "./switchboard.ts";

/** Operations that play: to all, to some, to somebody on hold. */
export function playOperations(board: Switchboard): Operation[] {
  return [
    {
      name: "Play",
      method: "POST",
      path: connectionPath(":play"),
      handle: (request) => play(board, request),
    },
    {
      name: "CancelAllMediaOperations",
      method: "POST",
      path: connectionPath(":cancelAllMediaOperations"),
      handle: ({ ids: [id = ""] }) => {
        const call = board.findEstablished(id);
        call.actions.cancelAll();
        return { status: 202, call };
      },
    },
    {
      name: "Hold",
      method: "POST",
      path: connectionPath(":hold"),
      handle: (request) => hold(board, request),
    },
    {
      name: "Unhold",
      method: "POST",
      path: connectionPath(":unhold"),
      handle: (request) => unhold(board, request),
    },
  ];
}

/** A participant of the call by the identifier in a body; 404/8522 when not there. */
export function readParticipant(call: Call, body: Fields, name: string): Participant {
  const participant = call.conversation.find(readIdentifier(body.raw(name), name));
  if (participant === undefined) throw refusal.participantNotFound();
  return participant;
}

interface Play {
  readonly sources: readonly PlaySource[];
  readonly targets: readonly Participant[];
  readonly isLoop: boolean;
  readonly address: OperationAddress;
}

function play(board: Switchboard, request: OperationRequest): Reply {
  const { body } = request;
  const call = board.findEstablished(request.ids[0] ?? "");
  const sources = readPlaySources(call, body.list("playSources"), "playSources");
  if (sources.length === 0) throw refusal.invalidField("playSources");
  const targets = body.list("playTo").map((target) => {
    const participant = call.conversation.find(readIdentifier(target, "playTo"));
    if (participant === undefined) throw refusal.participantNotFound();
    return participant;
  });
  const isLoop = body.fields("playOptions")?.flag("loop") ?? false;
  const address = readAddress(board, request);
  const run = call.actions.begin("play", body.flag("interruptCallMediaOperation"));
  const order: Play = { sources, targets, isLoop, address };
  board.core.background.run("play", (closing) =>
    run((signal) => perform(board, call, order, AbortSignal.any([signal, closing]))),
  );
  return { status: 202, call };
}

async function perform(
  board: Switchboard,
  call: Call,
  { sources, targets, isLoop, address }: Play,
  signal: AbortSignal,
): Promise<void> {
  const { core } = board;
  // Whoever was on hold before stays there afterwards.
  const waiting = targets.filter((participant) => !participant.isOnHold);
  try {
    const prompts = await loadPrompts(core, sources, signal);
    if (core.policy.playStarted) call.emit("PlayStarted", { ...address, result: MEDIA_SUCCESS });
    setHeld(call, waiting, true);
    const { bridge } = call.conversation;
    const names = targets.map(({ identifier }) => identifier.rawId);
    const heard = names.length === 0 ? undefined : names;
    const { clock } = core;
    await playPrompts({ clock, bridge, targets: heard, prompts, isLoop, signal });
    call.emit("PlayCompleted", { ...address, result: MEDIA_SUCCESS });
  } catch (error) {
    reportPlayFailure(call, address, { error, signal });
  } finally {
    setHeld(call, waiting, false);
  }
}

function reportPlayFailure(
  call: Call,
  address: OperationAddress,
  { error, signal }: { error: unknown; signal: AbortSignal },
): void {
  if (signal.aborted) {
    call.emit("PlayCanceled", { ...address, result: CANCELED });
    return;
  }
  const index = error instanceof MediaFailure ? error.sourceIndex : undefined;
  const data = index === undefined ? {} : { failedPlaySourceIndex: index };
  call.emit("PlayFailed", { ...address, result: resultOfFailure(error), data });
}

/** While something is played to them alone, participants are shown as on hold (recordings). */
function setHeld(call: Call, targets: readonly Participant[], isHeld: boolean): void {
  const changing = targets.filter((participant) => participant.isOnHold !== isHeld);
  for (const participant of changing) setOnHold(call, participant, isHeld);
  if (changing.length > 0 && !call.isOver) call.conversation.announce();
}

function setOnHold(call: Call, participant: Participant, isHeld: boolean): void {
  participant.isOnHold = isHeld;
  call.conversation.bridge.set(participant.identifier.rawId, { isHeld });
}

function hold(board: Switchboard, request: OperationRequest): Reply {
  const { body } = request;
  const call = board.findEstablished(request.ids[0] ?? "");
  const participant = readParticipant(call, body, "targetParticipant");
  const address = readAddress(board, request);
  const music = body.has("playSourceInfo")
    ? readPlaySources(call, [body.raw("playSourceInfo")], "playSourceInfo")
    : [];
  if (participant.isOnHold) throw refusal.conflict("The participant is already on hold.");
  setOnHold(call, participant, true);
  call.conversation.announce();
  const stopped = new AbortController();
  const stop = () => stopped.abort();
  call.holdMusic.set(participant.identifier.rawId, stop);
  call.onEnd(stop);
  board.core.background.run("hold", (closing) =>
    playHoldMusic(board, call, {
      participant,
      music,
      address,
      signal: AbortSignal.any([stopped.signal, closing]),
    }),
  );
  return { status: 200, call };
}

async function playHoldMusic(
  { core }: Switchboard,
  call: Call,
  held: {
    participant: Participant;
    music: readonly PlaySource[];
    address: OperationAddress;
    signal: AbortSignal;
  },
): Promise<void> {
  const { participant, music, address, signal } = held;
  if (music.length === 0) return;
  try {
    const prompts = await loadPrompts(core, music, signal);
    const { bridge } = call.conversation;
    const targets = [participant.identifier.rawId];
    await playPrompts({ clock: core.clock, bridge, targets, prompts, isLoop: true, signal });
  } catch (error) {
    if (signal.aborted) return;
    setOnHold(call, participant, false);
    call.emit("HoldFailed", { ...address, result: resultOfFailure(error) });
  }
}

function unhold(board: Switchboard, { ids: [id = ""], body }: OperationRequest): Reply {
  const call = board.findEstablished(id);
  const participant = readParticipant(call, body, "targetParticipant");
  if (!participant.isOnHold) throw refusal.invalidState("the participant is not on hold");
  const { rawId } = participant.identifier;
  call.holdMusic.get(rawId)?.();
  call.holdMusic.delete(rawId);
  setOnHold(call, participant, false);
  call.conversation.announce();
  return { status: 200, call };
}
