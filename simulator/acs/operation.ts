import type { Call } from "./call.ts";
import type { Fields } from "./fields.ts";

/** A request that passed authentication and matched an operation's route. */
export interface OperationRequest {
  /** The decoded path parameters, in order. */
  readonly ids: readonly string[];
  readonly body: Fields;
  readonly query: URLSearchParams;
  readonly apiVersion: string;
  readonly range: string | undefined;
  /** `http://127.0.0.1:PORT` as the client addressed it; for nextLink. */
  readonly origin: string;
}

export interface Reply {
  readonly status: number;
  readonly body?: unknown;
  /** Instead of `body`, as it is. */
  readonly bytes?: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** The call it is about, for the trace and the correlation header. */
  readonly call?: Call | undefined;
}

/** One REST operation of Call Automation. */
export interface Operation {
  /** The REST specification's operation id. */
  readonly name: string;
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  readonly path: RegExp;
  /** Honours Repeatability-Request-ID. */
  readonly isRepeatable?: boolean;
  /** Says `Repeatability-Result: accepted`. */
  readonly saysAccepted?: boolean;
  /** Takes any api-version, or none. */
  readonly isUnversioned?: boolean;
  handle(request: OperationRequest): Reply | Promise<Reply>;
}

/** `/calling/callConnections/{id}` with what follows it. */
export function connectionPath(rest = ""): RegExp {
  return new RegExp(`^/calling/callConnections/([^/:]+)${rest}$`);
}
