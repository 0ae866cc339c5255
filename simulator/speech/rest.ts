import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../clock.ts";
import type { PartyTrace } from "../trace.ts";
import { urlOf } from "./connection.ts";
import type { Credentials } from "./credentials.ts";
import { VOICES, type Voice } from "./voices.ts";

interface RestContext {
  clock: Clock;
  trace: PartyTrace;
  allowed: Credentials;
}

interface RestAnswer {
  status: number;
  body: unknown;
}

/** `GET …/cognitiveservices/voices/list` and `POST /sts/v1.0/issueToken`; anything else is 404. */
export function answerRest(
  request: IncomingMessage,
  response: ServerResponse,
  { clock, trace, allowed }: RestContext,
): void {
  const startedAt = clock.now();
  const url = urlOf(request);
  const { status, body } =
    url === undefined ? refusal(400, "Bad request: invalid URL.") : route(request, url, allowed);
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const type = typeof body === "string" ? "text/plain" : "application/json; charset=utf-8";
  response.writeHead(status, { "Content-Type": type }).end(text);
  request.resume();
  trace.record({
    type: "http",
    direction: "in",
    service: "speech",
    method: request.method ?? "",
    target: request.url ?? "",
    status,
    durationMs: clock.now() - startedAt,
  });
}

function route(request: IncomingMessage, url: URL, allowed: Credentials): RestAnswer {
  if (request.method === "GET" && url.pathname.endsWith("/cognitiveservices/voices/list")) {
    if (!allowed.admits(request, url)) return refusal(401, "Access denied: invalid key or token.");
    return { status: 200, body: VOICES.map(listed) };
  }
  if (request.method === "POST" && /\/sts\/v1\.0\/issuetoken$/i.test(url.pathname)) {
    const token = allowed.issue(request, url);
    return token === undefined
      ? refusal(401, "Access denied: invalid subscription key.")
      : { status: 200, body: token };
  }
  return refusal(404, `Resource not found: ${request.method} ${url.pathname}`);
}

function refusal(status: number, message: string): RestAnswer {
  return { status, body: { error: { code: String(status), message } } };
}

/** The shape of one entry of the service's list. */
function listed({ shortName, displayName, locale, gender }: Voice) {
  return {
    Name: `Microsoft Server Speech Text to Speech Voice (${locale}, ${shortName.slice(locale.length + 1)})`,
    DisplayName: displayName,
    LocalName: displayName,
    ShortName: shortName,
    Gender: gender,
    Locale: locale,
    LocaleName: new Intl.DisplayNames(["en"], { type: "language" }).of(locale),
    SampleRateHertz: "24000",
    VoiceType: "Neural",
    Status: "GA",
  };
}
