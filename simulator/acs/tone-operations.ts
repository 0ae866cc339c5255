import { type Call, MEDIA_SUCCESS } from "./call.ts";
import { strike } from "./fault-strike.ts";
import { resultOfFailure } from "./media-failure.ts";
import { connectionPath, type Operation, type OperationRequest, type Reply } from "./operation.ts";
import { contextOf } from "./participant-changes.ts";
import { readParticipant } from "./play-operations.ts";
import { ENDED_BY_APPLICATION } from "./result.ts";
import { refusal } from "./service-error.ts";
import { readAddress } from "./streaming-operations.ts";
import type { Switchboard } from "./switchboard.ts";
import { digitOf, toneOf } from "./tone.ts";

const TONE_LIMIT = 100;
const TONE_FAILED = { code: 500, subCode: 9999, message: "Tone detection failed." };

/** Operations on key presses. */
export function toneOperations(board: Switchboard): Operation[] {
  return [
    {
      name: "SendDtmfTones",
      method: "POST",
      path: connectionPath(":sendDtmfTones"),
      isRepeatable: true,
      handle: (request) => sendTones(board, request),
    },
    {
      name: "StartContinuousDtmfRecognition",
      method: "POST",
      path: connectionPath(":startContinuousDtmfRecognition"),
      handle: (request) => startContinuous(board, request),
    },
    {
      name: "StopContinuousDtmfRecognition",
      method: "POST",
      path: connectionPath(":stopContinuousDtmfRecognition"),
      handle: (request) => stopContinuous(board, request),
    },
  ];
}

function sendTones(board: Switchboard, request: OperationRequest): Reply {
  const { body } = request;
  const call = board.findEstablished(request.ids[0] ?? "");
  const tones = body.list("tones");
  if (tones.length === 0 || tones.length > TONE_LIMIT) throw refusal.invalidField("tones");
  const digits = tones.map((tone) => digitOf(tone, "tones")).join("");
  const { leg } = readParticipant(call, body, "targetParticipant");
  if (leg === undefined) throw refusal.participantNotFound();
  const address = readAddress(board, request);
  board.core.background.run("send tones", async (signal) => {
    try {
      await leg.sendDigits(digits, { signal });
      call.emit("SendDtmfTonesCompleted", { ...address, result: MEDIA_SUCCESS });
    } catch (error) {
      call.emit("SendDtmfTonesFailed", { ...address, result: resultOfFailure(error) });
    }
  });
  return { status: 202, body: contextOf(address), call };
}

function startContinuous(board: Switchboard, request: OperationRequest): Reply {
  const call = board.findEstablished(request.ids[0] ?? "");
  const { identifier } = readParticipant(call, request.body, "targetParticipant");
  if (call.toneWatches.has(identifier.rawId)) throw refusal.mediaOperationActive();
  const address = readAddress(board, request);
  let sequenceId = 0;
  const unlisten = call.conversation.bridge.onDigit((rawId, digit) => {
    if (rawId !== identifier.rawId) return;
    if (strike(board.core, "acs.fail-tone", { call: call.id }) !== undefined) {
      call.emit("ContinuousDtmfRecognitionToneFailed", { ...address, result: TONE_FAILED });
      return;
    }
    sequenceId++;
    const data = { sequenceId, tone: toneOf(digit) };
    const event = "ContinuousDtmfRecognitionToneReceived";
    call.emit(event, { ...address, data, result: MEDIA_SUCCESS });
  });
  const forget = call.onEnd(() => {
    unlisten();
    call.emit("ContinuousDtmfRecognitionStopped", { ...address, result: ENDED_BY_APPLICATION });
  });
  call.toneWatches.set(identifier.rawId, () => {
    unlisten();
    forget();
  });
  return { status: 200, call };
}

function stopContinuous(board: Switchboard, request: OperationRequest): Reply {
  const call = board.findEstablished(request.ids[0] ?? "");
  const { identifier } = readParticipant(call, request.body, "targetParticipant");
  const address = readAddress(board, request);
  const stop = stopOf(call, identifier.rawId);
  stop();
  call.emit("ContinuousDtmfRecognitionStopped", { ...address, result: MEDIA_SUCCESS });
  return { status: 200, call };
}

function stopOf(call: Call, rawId: string): () => void {
  const stop = call.toneWatches.get(rawId);
  if (stop === undefined) throw refusal.invalidState("continuous DTMF recognition is not active");
  call.toneWatches.delete(rawId);
  return stop;
}
