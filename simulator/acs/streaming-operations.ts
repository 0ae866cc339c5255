import type { OperationAddress } from "./call.ts";
import { readLocale } from "./media-options.ts";
import type { MediaStreaming } from "./media-streaming.ts";
import { connectionPath, type Operation, type OperationRequest, type Reply } from "./operation.ts";
import { refusal } from "./service-error.ts";
import type { Switchboard } from "./switchboard.ts";
import type { Transcription } from "./transcription.ts";

/** Control of the media and transcription sockets of a call that has options for them. */
export function streamingOperations(board: Switchboard): Operation[] {
  return [
    {
      name: "StartMediaStreaming",
      method: "POST",
      path: connectionPath(":startMediaStreaming"),
      handle: (request) => control(board, request, (streaming, to) => streaming.start(to)),
    },
    {
      name: "StopMediaStreaming",
      method: "POST",
      path: connectionPath(":stopMediaStreaming"),
      handle: (request) => control(board, request, (streaming, to) => streaming.stop(to)),
    },
    {
      name: "StartTranscription",
      method: "POST",
      path: connectionPath(":startTranscription"),
      handle: (request) =>
        transcribe(board, request, (transcription, to) =>
          transcription.start(to, optionalLocale(request)),
        ),
    },
    {
      name: "StopTranscription",
      method: "POST",
      path: connectionPath(":stopTranscription"),
      handle: (request) =>
        transcribe(board, request, (transcription, to) => transcription.stop(to)),
    },
    {
      name: "UpdateTranscription",
      method: "POST",
      path: connectionPath(":updateTranscription"),
      handle: (request) =>
        transcribe(board, request, (transcription, to) =>
          transcription.update(to, readLocale(request.body, "locale")),
        ),
    },
  ];
}

function optionalLocale({ body }: OperationRequest): string | undefined {
  return body.has("locale") ? readLocale(body, "locale") : undefined;
}

function transcribe(
  board: Switchboard,
  request: OperationRequest,
  act: (transcription: Transcription, to: OperationAddress) => void,
): Reply {
  const call = board.findEstablished(request.ids[0] ?? "");
  const to = readAddress(board, request);
  if (call.transcription === undefined) throw refusal.notConfigured("Transcription");
  act(call.transcription, to);
  return { status: 202, call };
}

function control(
  board: Switchboard,
  request: OperationRequest,
  act: (streaming: MediaStreaming, to: OperationAddress) => void,
): Reply {
  const call = board.findEstablished(request.ids[0] ?? "");
  const to = readAddress(board, request);
  if (call.streaming === undefined) throw refusal.notConfigured("Media streaming");
  act(call.streaming, to);
  return { status: 202, call };
}

/** `operationContext` and `operationCallbackUri`, where most operations take them. */
export function readAddress(board: Switchboard, { body }: OperationRequest): OperationAddress {
  return {
    operationContext: body.optionalText("operationContext"),
    url: board.core.urls.optionalCallback(body),
  };
}
