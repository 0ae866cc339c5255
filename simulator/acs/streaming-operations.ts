import type { OperationAddress } from "./call.ts";
import type { MediaStreaming } from "./media-streaming.ts";
import { connectionPath, type Operation, type OperationRequest, type Reply } from "./operation.ts";
import { refusal } from "./service-error.ts";
import type { Switchboard } from "./switchboard.ts";

/** Starting and stopping the media socket of a call that has streaming options. */
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
  ];
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
