/** What a client event did wrong. The service answers with an `error` event and goes on. */
export class ClientEventError extends Error {
  override readonly name = "ClientEventError";
  readonly type = "invalid_request_error";
  readonly code: string;
  readonly param: string | undefined;

  constructor(code: string, message: string, param?: string) {
    super(message);
    this.code = code;
    this.param = param;
  }
}

export function unknownParameter(param: string): ClientEventError {
  return new ClientEventError("unknown_parameter", `Unknown parameter: '${param}'.`, param);
}

export function missingParameter(param: string): ClientEventError {
  return new ClientEventError(
    "missing_required_parameter",
    `Missing required parameter: '${param}'.`,
    param,
  );
}

export function invalidValue(
  param: string,
  got: unknown,
  supported: readonly string[],
): ClientEventError {
  const values = supported.map((value) => `'${value}'`).join(", ");
  return new ClientEventError(
    "invalid_value",
    `Invalid value: ${quoted(got)}. Supported values are: ${values}.`,
    param,
  );
}

export function invalidType(param: string, expected: string, got: unknown): ClientEventError {
  const kind = got === null ? "null" : Array.isArray(got) ? "an array" : `a ${typeof got}`;
  return new ClientEventError(
    "invalid_type",
    `Invalid type for '${param}': expected ${expected}, but got ${kind} instead.`,
    param,
  );
}

function quoted(value: unknown): string {
  return typeof value === "string" ? `'${value}'` : JSON.stringify(value);
}
