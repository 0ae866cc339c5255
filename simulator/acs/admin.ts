import { Fields } from "./fields.ts";
import type { Reply } from "./operation.ts";
import { refusal, ServiceError } from "./service-error.ts";
import type { Switchboard } from "./switchboard.ts";

export interface AdminRequest {
  readonly method: string;
  /** Path without `/admin`. */
  readonly path: string;
  readonly body: Buffer;
  readonly contentType: string | undefined;
  /** Where the request comes from. */
  readonly peer: string | undefined;
}

/**
 * What Azure's portal does, for a running lab: subscriptions, and a look at calls and dead letters.
 * Open to this machine only; a POST has to be JSON, so that no web page can send it unasked.
 */
export class Admin {
  readonly #board: Switchboard;

  constructor(board: Switchboard) {
    this.#board = board;
  }

  async answer(request: AdminRequest): Promise<Reply> {
    try {
      if (!isLocal(request.peer))
        throw refusal.forbidden("The admin API is open to this machine only.");
      return await this.#route(request);
    } catch (error) {
      if (error instanceof ServiceError) return { status: error.status, body: error.body };
      const message = error instanceof Error ? error.message : String(error);
      return { status: 400, body: { error: { code: "BadRequest", message } } };
    }
  }

  async #route({ method, path, body, contentType }: AdminRequest): Promise<Reply> {
    const { eventGrid } = this.#board.core;
    const [, name] = /^\/subscriptions\/([^/]+)$/.exec(path) ?? [];
    if (name !== undefined && method === "DELETE") {
      return { status: eventGrid.unsubscribe(decodeURIComponent(name)) ? 204 : 404 };
    }
    switch (`${method} ${path}`) {
      case "GET /subscriptions":
        return { status: 200, body: { value: eventGrid.subscriptions.map(describe) } };
      case "POST /subscriptions":
        if (!contentType?.startsWith("application/json")) throw refusal.invalidBody("not JSON");
        return this.#subscribe(Fields.of(JSON.parse(body.toString())));
      case "GET /calls":
        return { status: 200, body: { value: this.#board.calls.map((call) => call.properties()) } };
      case "GET /dead-letters":
        return { status: 200, body: { value: eventGrid.deadLetters } };
      default:
        return { status: 404 };
    }
  }

  async #subscribe(fields: Fields): Promise<Reply> {
    const name = fields.optionalText("name");
    const schema = fields.choice("schema", ["EventGrid", "CloudEvents"]);
    const eventTypes = fields.list("eventTypes").filter((type) => typeof type === "string");
    const subscription = await this.#board.core.eventGrid.subscribe(fields.text("webhookUrl"), {
      ...(name === undefined ? {} : { name }),
      ...(schema === undefined ? {} : { schema }),
      ...(eventTypes.length === 0 ? {} : { eventTypes }),
      headers: fields.texts("headers"),
    });
    return { status: 201, body: describe(subscription) };
  }
}

function describe({
  name,
  webhookUrl,
  schema,
}: {
  name: string;
  webhookUrl: string;
  schema: string;
}) {
  return { name, webhookUrl, schema };
}

function isLocal(peer: string | undefined): boolean {
  return peer !== undefined && /^(::ffff:)?127\.|^::1$/.test(peer);
}
