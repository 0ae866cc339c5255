import type { IncomingMessage, ServerResponse } from "node:http";
import { InvalidRequest } from "./request.ts";
import type { Failure, Reply } from "./script.ts";

/** Bodies above this are refused with 413. */
const BODY_LIMIT_BYTES = 4 * 1024 * 1024;

export const BAD_REQUEST: Failure = { status: 400, code: "400", message: "Bad Request" };
export const UNAUTHORISED: Failure = {
  status: 401,
  code: "401",
  message:
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource.",
};
export const NOT_FOUND: Failure = { status: 404, code: "404", message: "Resource not found" };
export const DEPLOYMENT_NOT_FOUND: Failure = {
  status: 404,
  code: "DeploymentNotFound",
  message:
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.",
};

/** Resolves when the text is with the kernel, or the client is gone: a reset loses nothing before it. */
export function written(response: ServerResponse, text: string): Promise<void> {
  return new Promise((resolve) => {
    response.write(text, () => resolve());
  });
}

const brokenOff = new WeakSet<ServerResponse>();

/** Ends the connection as a failure of the network does: nobody has gone away then. */
export function breakOff(response: ServerResponse): void {
  brokenOff.add(response);
  response.destroy();
}

/** Of a response that is closed: whether it was the client who did not wait for its end. */
export function clientLeft(response: ServerResponse): boolean {
  return !response.writableFinished && !brokenOff.has(response);
}

/** Aborts when the connection is closed before the answer's end, whoever closed it. */
export function closingOf(response: ServerResponse): AbortSignal {
  const closing = new AbortController();
  if (response.destroyed) closing.abort();
  else response.once("close", () => closing.abort());
  return closing.signal;
}

/** What the trace shows of an answer that nobody waited for. */
export function leftDuring(reply: Reply): string {
  return `client left during ${JSON.stringify(reply)}`;
}

class BodyTooLarge extends Error {
  readonly code = "BODY_TOO_LARGE";
}

export async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let lengthBytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    lengthBytes += part.length;
    if (lengthBytes > BODY_LIMIT_BYTES)
      throw new BodyTooLarge(`body above ${BODY_LIMIT_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidRequest(
      "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly.)",
      "body",
    );
  }
}

export function toFailure(error: unknown): Failure {
  if (error instanceof InvalidRequest)
    return { status: 400, code: error.code, message: error.message, param: error.param };
  if (error instanceof BodyTooLarge) return { status: 413, code: "413", message: error.message };
  return { status: 500, code: "internal_error", message: String(error) };
}

export function plannedFailure(
  planned: Readonly<Record<string, string | number | boolean>>,
): Failure {
  const { status = 500, code, message, param, type, retryAfterMs, shouldRetry } = planned;
  return {
    status: Number(status),
    ...(code === undefined ? {} : { code: String(code) }),
    ...(message === undefined ? {} : { message: String(message) }),
    ...(param === undefined ? {} : { param: String(param) }),
    ...(type === undefined ? {} : { type: String(type) }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs: Number(retryAfterMs) }),
    ...(shouldRetry === undefined ? {} : { shouldRetry: String(shouldRetry) === "true" }),
  };
}

export function sendError(response: ServerResponse, failure: Failure): unknown {
  if (response.headersSent || response.destroyed) return failure;
  const headers: Record<string, string> = {};
  if (failure.retryAfterS !== undefined) headers["retry-after"] = String(failure.retryAfterS);
  if (failure.retryAfterMs !== undefined) headers["retry-after-ms"] = String(failure.retryAfterMs);
  if (failure.shouldRetry !== undefined) headers["x-should-retry"] = String(failure.shouldRetry);
  return sendJson(response, failure.status, errorBody(failure), headers);
}

/** The `error` of a body, or of an event within a stream. */
export function errorBody(failure: Failure): { readonly error: object } {
  const { status, code = String(status), message, param, type, innererror } = failure;
  const invalid = code === "invalid_request_error" ? { type: code, param: null } : {};
  return {
    error: {
      code,
      message: message ?? `status ${status}`,
      ...invalid,
      ...(type === undefined ? {} : { type }),
      ...(param === undefined ? {} : { param }),
      // Azure repeats the status where it says more.
      ...(innererror === undefined ? {} : { status, innererror }),
    },
  };
}

/** Where a request goes to; `undefined` when its target is no address, as `//` is none. */
export function targetOf({ url = "/" }: IncomingMessage): URL | undefined {
  return URL.canParse(url, "http://host") ? new URL(url, "http://host") : undefined;
}

/** The key in one of the headers that clients use. */
export function presentedKey({ headers }: IncomingMessage): string | undefined {
  const key = headers["api-key"];
  if (typeof key === "string") return key;
  return /^Bearer (.+)$/i.exec(headers.authorization ?? "")?.[1];
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): unknown {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
  return body;
}
