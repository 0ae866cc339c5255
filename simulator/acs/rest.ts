import type { IncomingHttpHeaders } from "node:http";
import { authenticate } from "./auth.ts";
import type { Core } from "./core.ts";
import { strike } from "./fault-strike.ts";
import { Fields } from "./fields.ts";
import type { Operation, OperationRequest, Reply } from "./operation.ts";
import { refusal, ServiceError } from "./service-error.ts";

/** An HTTP request whose body has been read. */
export interface RestRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly secure: boolean;
}

/** Answers remembered for Repeatability-Request-ID; the oldest is forgotten first. */
const REMEMBERED_REPLIES = 1000;

/** The REST surface as a function from request to reply. It throws nothing. */
export class Rest {
  readonly #core: Core;
  readonly #operations: readonly Operation[];
  readonly #replies = new Map<string, Promise<Reply>>();

  constructor(core: Core, operations: readonly Operation[]) {
    this.#core = core;
    this.#operations = operations;
  }

  async answer(request: RestRequest): Promise<Reply> {
    const reply = await this.#judge(request).catch((error: unknown) =>
      this.#refused(error, request),
    );
    const correlationId = reply.call?.conversation.correlationId;
    const clientRequestId = request.headers["x-ms-client-request-id"];
    const headers = {
      ...(correlationId === undefined ? {} : { "X-Microsoft-Skype-Chain-ID": correlationId }),
      ...(typeof clientRequestId === "string" ? { "x-ms-client-request-id": clientRequestId } : {}),
      ...reply.headers,
    };
    return { ...reply, headers };
  }

  async #judge(request: RestRequest): Promise<Reply> {
    const { resource, policy, clock } = this.#core;
    authenticate(request, {
      accessKeys: [resource.accessKey],
      now: () => clock.date(),
      clockSkewMs: policy.clockSkewMs,
    });
    const { path, query } = splitTarget(request.target);
    const apiVersion = query.get("api-version") ?? "";
    const { operation, ids } = this.#route(request, path);
    const isKnownVersion = operation.isUnversioned
      ? API_VERSION.test(apiVersion)
      : policy.apiVersions.includes(apiVersion);
    if (!isKnownVersion) throw noResource(request);
    const injected = this.#injectedError(operation.name);
    if (injected !== undefined) throw injected;
    const origin = `${request.secure ? "https" : "http"}://${request.headers.host ?? ""}`;
    const read = (): OperationRequest => {
      const { range } = request.headers;
      const body = readBody(request.body);
      return { ids, body, query, apiVersion, origin, range };
    };
    return this.#once(operation, request, async () => operation.handle(read()));
  }

  #route(request: RestRequest, pathname: string): { operation: Operation; ids: string[] } {
    for (const operation of this.#operations) {
      const match = operation.method === request.method ? operation.path.exec(pathname) : null;
      if (match !== null) return { operation, ids: match.slice(1).map(decode) };
    }
    const isKnownPath = this.#operations.some(({ path }) => path.test(pathname));
    if (isKnownPath) throw new ServiceError(405, "MethodNotAllowed", "The method is not allowed.");
    throw noResource(request);
  }

  /**
   * The same Repeatability-Request-ID gets the first answer again, without another execution. SDKs
   * retry under the same id, so an answer that says "try again" is not kept.
   */
  #once(operation: Operation, request: RestRequest, run: () => Promise<Reply>): Promise<Reply> {
    const repeatabilityId = request.headers["repeatability-request-id"];
    if (operation.isRepeatable !== true || typeof repeatabilityId !== "string") return run();
    const key = `${request.target} ${repeatabilityId}`;
    const known = this.#replies.get(key);
    if (known !== undefined) return known;
    const headers: Record<string, string> =
      operation.saysAccepted === true ? { "Repeatability-Result": "accepted" } : {};
    const reply = run().then((done) => ({ ...done, headers: { ...headers, ...done.headers } }));
    this.#replies.set(key, reply);
    void this.#forgetPassing(key, reply);
    const [oldest] = this.#replies.keys();
    if (this.#replies.size > REMEMBERED_REPLIES && oldest !== undefined) {
      this.#replies.delete(oldest);
    }
    return reply;
  }

  async #forgetPassing(key: string, reply: Promise<Reply>): Promise<void> {
    const { status } = await reply.catch((error: unknown) => ({
      status: error instanceof ServiceError ? error.status : 500,
    }));
    if (status === 429 || status >= 500) this.#replies.delete(key);
  }

  /** Fault `acs.fail-operation.<OperationName>` (`status`, `code`, `message`). */
  #injectedError(name: string): ServiceError | undefined {
    const fault = strike(this.#core, `acs.fail-operation.${name}`);
    if (fault === undefined) return undefined;
    const status = Number(fault["status"] ?? 500);
    return new ServiceError(
      status,
      String(fault["code"] ?? "9999"),
      String(fault["message"] ?? ""),
    );
  }

  #refused(error: unknown, request: RestRequest): Reply {
    if (error instanceof ServiceError) {
      if (error.code === NO_RESOURCE) this.#report("ACS_UNHANDLED_REQUEST", request);
      const retry = error.status === 429 ? { headers: { "Retry-After": "1" } } : {};
      const { status, message } = error;
      // The storage behind recordings words its errors in its own way; the SDK reads both.
      const body = request.target.startsWith("/v1/objects/") ? { status, message } : error.body;
      return { status, body, ...retry };
    }
    this.#report(`ACS_INTERNAL: ${String(error)}`, request);
    return { status: 500, body: new ServiceError(500, "9999", "Internal server error").body };
  }

  /** What nobody handles is an error that prints the request. */
  #report(code: string, { method, target, body }: RestRequest): void {
    const message = `${code} ${method} ${target} ${body.toString().slice(0, 1000)}`;
    this.#core.trace.record({ type: "error", code: code.split(":", 1)[0] ?? code, message });
  }
}

const NO_RESOURCE = "NotFound";
/** Of an API beside Call Automation; storage has none. */
const API_VERSION = /^$|^\d{4}-\d{2}-\d{2}(?:-preview(?:\.\d+)?)?$/;

/** As it was sent: a URL parser would take `\` for `/` and a second `/` for a host. */
function splitTarget(target: string): { path: string; query: URLSearchParams } {
  const [, path = "", query = ""] = /^(?:https?:\/\/[^/?]*)?([^?]*)\??(.*)$/s.exec(target) ?? [];
  return { path, query: new URLSearchParams(query) };
}

/** The service's words for an unknown path or api-version (azure-sdk-for-python issue 38974). */
function noResource({ target, headers }: RestRequest): ServiceError {
  const uri = `https://${headers.host ?? ""}${target}`;
  const message = `No HTTP resource was found that matches the request URI '${uri}'.`;
  return new ServiceError(404, NO_RESOURCE, message);
}

function readBody(body: Buffer): Fields {
  if (body.length === 0) return Fields.of({});
  try {
    return Fields.of(JSON.parse(body.toString()));
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    throw refusal.invalidBody("not JSON");
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw refusal.invalidField("path");
  }
}
