/**
 * A refusal as Call Automation words it: HTTP status, `error.code` (a string of digits) and message.
 * Codes: Microsoft's Call Automation SDK error table; wording from recordings where there is one.
 */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** The body of the HTTP answer. */
  get body(): { error: { code: string; message: string } } {
    return { error: { code: this.code, message: this.message } };
  }
}

const make = (status: number, code: string, message: string) =>
  new ServiceError(status, code, message);

export const refusal = {
  invalidField: (name: string) => make(400, "8523", `The field ${pascalCase(name)} is invalid`),
  invalidBody: (why: string) => make(400, "8523", `The request body is invalid: ${why}`),
  invalidContext: (why: string) =>
    make(400, "8523", `The field CustomCallingContext is invalid: ${why}`),
  callNotFound: () => make(404, "8522", "Call not found."),
  participantNotFound: () => make(404, "8522", "Participant not found."),
  notEstablished: () =>
    make(400, "8501", "Action is invalid when call is not in Established state"),
  invalidState: (state: string) =>
    make(400, "8585", `Action is invalid in the current call state: ${state}`),
  terminated: () => make(400, "8528", "Call has been terminated already."),
  mediaOperationActive: () => make(400, "8500", "Media operation is already active"),
  incompatibleMedia: () => make(412, "8583", "The media actions are incompatible."),
  recordingStarted: () => make(400, "8559", "Recording is already started for this call."),
  recordingNotFound: () => make(404, "8522", "Recording not found."),
  conflict: (what: string) => make(409, "8519", what),
  transferPending: () => make(409, "8607", "Another transfer operation is in progress."),
  speechNotLinked: () => make(400, "8567", "AI services resource is not linked to this call."),
  notConfigured: (what: string) =>
    make(405, "8522", `Request not allowed when ${what} url not set during call setup.`),
  notSupported: (what: string) => make(405, "8520", what),
  unauthorized: (code: "7501" | "7509", why: string) => make(401, code, why),
  forbidden: (why: string) => make(403, "7507", why),
  throttled: () => make(429, "8516", "Too many requests."),
};

function pascalCase(name: string): string {
  return name.slice(0, 1).toUpperCase() + name.slice(1);
}
