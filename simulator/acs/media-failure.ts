import type { ResultInformation } from "./callbacks.ts";

/** A media operation's failure as its event reports it. */
export class MediaFailure extends Error {
  override readonly name = "MediaFailure";
  readonly result: ResultInformation;
  /** Which of several play sources failed. */
  readonly sourceIndex: number | undefined;

  constructor(result: ResultInformation, sourceIndex?: number) {
    super(result.message);
    this.result = result;
    this.sourceIndex = sourceIndex;
  }
}

/** Result codes of media operations (Microsoft: "Play action", "Recognize action"). */
export const mediaFailure = {
  format: () => make(400, 8535, "Action failed, file format is invalid."),
  download: () => make(400, 8536, "Action failed, file could not be downloaded."),
  empty: () => make(400, 8582, "Action failed, text or ssml is empty."),
  speechService: () => make(500, 8565, "Action failed, the AI services resource did not answer."),
  promptFailed: () =>
    make(500, 8511, "Action failed, encountered failure while trying to play the prompt."),
  initialSilence: () => make(400, 8510, "Action failed, initial silence timeout reached."),
  incorrectTone: () => make(400, 8534, "Action failed, incorrect tone entered."),
  speechNotMatched: () => make(400, 8547, "Action failed, speech option not matched."),
  speechNotRecognised: () => make(400, 8563, "Action failed, speech could not be recognized."),
};

/** The service's own spelling. */
export const CANCELED: ResultInformation = {
  code: 400,
  subCode: 8508,
  message: "Action falied, the operation was cancelled.",
};

function make(code: number, subCode: number, message: string): ResultInformation {
  return { code, subCode, message };
}

/** The result of whatever a media operation threw. */
export function resultOfFailure(error: unknown): ResultInformation {
  if (error instanceof MediaFailure) return error.result;
  return { code: 500, subCode: 9999, message: error instanceof Error ? error.message : "Unknown" };
}
