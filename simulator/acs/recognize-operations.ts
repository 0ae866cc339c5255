import type { Call, OperationAddress } from "./call.ts";
import { Fields } from "./fields.ts";
import { CANCELED, MediaFailure, mediaFailure, resultOfFailure } from "./media-failure.ts";
import { connectionPath, type Operation, type OperationRequest, type Reply } from "./operation.ts";
import { readParticipant } from "./play-operations.ts";
import { loadPrompts, type PlaySource, playPrompts, readPlaySources } from "./prompt.ts";
import { type Choice, Recognition, type RecognitionRequest } from "./recognition.ts";
import { refusal } from "./service-error.ts";
import { readAddress } from "./streaming-operations.ts";
import type { Switchboard } from "./switchboard.ts";
import { digitOf, toneOf } from "./tone.ts";

const INPUTS = ["dtmf", "choices", "speech", "speechOrDtmf"] as const;

/** Recognize: prompts, then key presses or speech of one participant. */
export function recognizeOperations(board: Switchboard): Operation[] {
  return [
    {
      name: "Recognize",
      method: "POST",
      path: connectionPath(":recognize"),
      handle: (request) => recognize(board, request),
    },
  ];
}

interface Recognize {
  readonly prompts: readonly PlaySource[];
  readonly request: RecognitionRequest;
  readonly address: OperationAddress;
}

function recognize(board: Switchboard, request: OperationRequest): Reply {
  const { body } = request;
  const call = board.findEstablished(request.ids[0] ?? "");
  const order: Recognize = {
    prompts: readPrompts(call, body),
    request: readRequest(call, body),
    address: readAddress(board, request),
  };
  const run = call.actions.begin("recognize", body.flag("interruptCallMediaOperation"));
  board.core.background.run("recognize", (closing) =>
    run((signal) => perform(board, call, order, AbortSignal.any([signal, closing]))),
  );
  return { status: 202, call };
}

function readPrompts(call: Call, body: Fields): PlaySource[] {
  const several = body.list("playPrompts");
  const single = body.has("playPrompt") ? [body.raw("playPrompt")] : [];
  return readPlaySources(call, several.length > 0 ? several : single, "playPrompt");
}

function readRequest(call: Call, body: Fields): RecognitionRequest {
  const input = body.choice("recognizeInputType", INPUTS);
  if (input === undefined) throw refusal.invalidField("recognizeInputType");
  const options = Fields.of(body.raw("recognizeOptions"), "recognizeOptions");
  const tones = options.fields("dtmfOptions") ?? Fields.of({});
  const choices = options.list("choices").map(readChoice);
  if (input === "choices" && choices.length === 0) throw refusal.invalidField("choices");
  const needsSpeech = input === "speech" || input === "speechOrDtmf";
  if (needsSpeech && call.options.cognitiveServicesEndpoint === undefined) {
    throw refusal.speechNotLinked();
  }
  return {
    input,
    target: readParticipant(call, options, "targetParticipant").identifier.rawId,
    isPromptInterruptible: options.flag("interruptPrompt"),
    initialSilenceMs: (options.count("initialSilenceTimeoutInSeconds", [0, 300]) ?? 5) * 1000,
    interToneMs: (tones.count("interToneTimeoutInSeconds", [1, 60]) ?? 2) * 1000,
    maxTones: tones.count("maxTonesToCollect", [1, 100]),
    stopTones: tones.list("stopTones").map(readTone),
    choices,
    locale: options.optionalText("speechLanguage"),
    endSilenceMs:
      options.fields("speechOptions")?.count("endSilenceTimeoutInMs", [0, 60_000]) ?? 2000,
  };
}

function readTone(tone: unknown): string {
  return toneOf(digitOf(tone, "tone"));
}

function readChoice(value: unknown): Choice {
  const fields = Fields.of(value, "choices");
  const phrases = fields.list("phrases").filter((phrase) => typeof phrase === "string");
  const tone = fields.has("tone") ? readTone(fields.raw("tone")) : undefined;
  return { label: fields.text("label"), phrases, tone };
}

async function perform(
  board: Switchboard,
  call: Call,
  order: Recognize,
  signal: AbortSignal,
): Promise<void> {
  const { address, request } = order;
  const { clock, speech } = board.core;
  const { bridge } = call.conversation;
  await using recognition = new Recognition(request, { clock, speech, bridge, signal });
  try {
    await prompt(board, call, order, { signal, interrupted: recognition.interrupted });
    const { result, data } = await recognition.outcome();
    call.emit("RecognizeCompleted", { ...address, result, data });
  } catch (error) {
    if (signal.aborted) {
      call.emit("RecognizeCanceled", { ...address, result: CANCELED });
      return;
    }
    const index = error instanceof MediaFailure ? error.sourceIndex : undefined;
    const data = index === undefined ? {} : { failedPlaySourceIndex: index };
    call.emit("RecognizeFailed", { ...address, result: resultOfFailure(error), data });
  }
}

/** Plays the prompts until they end or the participant interrupts. */
async function prompt(
  { core }: Switchboard,
  call: Call,
  { prompts: sources, request }: Recognize,
  { signal, interrupted }: { signal: AbortSignal; interrupted: AbortSignal },
): Promise<void> {
  if (sources.length === 0) return;
  const { clock } = core;
  const { bridge } = call.conversation;
  const either = AbortSignal.any([signal, interrupted]);
  try {
    const prompts = await loadPrompts(core, sources, either);
    const targets = [request.target];
    await playPrompts({ clock, bridge, targets, prompts, isLoop: false, signal: either });
  } catch (error) {
    if (interrupted.aborted && !signal.aborted) return;
    throw error instanceof MediaFailure
      ? new MediaFailure(mediaFailure.promptFailed(), error.sourceIndex)
      : error;
  }
}
