import { type CallerContext, readCallerContext } from "./context.ts";

/** A ringing call, as Event Grid announces it. The connection's id does not exist yet. */
export interface IncomingCall {
  readonly eventId: string;
  /** Opaque, several kilobytes; the key to answer. */
  readonly incomingCallContext: string;
  readonly correlationId: string;
  /** E.164, or "anonymous". */
  readonly callerNumber: string;
  readonly context: CallerContext;
}

/** One mid-call event of the callback URL, with the fields the agent acts on. */
export interface MidCallEvent {
  readonly id: string;
  /** Without the prefix `Microsoft.Communication.`; compared exactly. */
  readonly type: string;
  readonly callConnectionId: string;
  readonly operationContext: string | undefined;
  readonly code: number | undefined;
  readonly subCode: number | undefined;
}

export type EventGridMessage =
  | { readonly type: "validation"; readonly code: string }
  | { readonly type: "incoming"; readonly call: IncomingCall }
  | { readonly type: "other"; readonly name: string };

const PREFIX = "Microsoft.Communication.";

/** More events in one delivery than this is no delivery of the service. */
const BATCH_LIMIT = 100;

/** Both schemas of Event Grid: an array in its own, one object as CloudEvent. Undefined if neither. */
export function parseEventGrid(body: unknown): EventGridMessage[] | undefined {
  return eventsOf(body)?.map((event) => {
    const name = textOf(event["eventType"]) || textOf(event["type"]);
    const data = objectOf(event["data"]);
    if (name === "Microsoft.EventGrid.SubscriptionValidationEvent") {
      return { type: "validation", code: textOf(data["validationCode"]) };
    }
    if (name !== `${PREFIX}IncomingCall`) return { type: "other", name };
    return { type: "incoming", call: incomingCall(textOf(event["id"]), data) };
  });
}

/**
 * The SDK's parser reads the first element of an array and throws on names it does not know; this
 * one takes every event, and an unknown name is the caller's to ignore.
 */
export function parseMidCallEvents(body: unknown): MidCallEvent[] | undefined {
  return eventsOf(body)?.map((event) => {
    const data = objectOf(event["data"]);
    const result = objectOf(data["resultInformation"]);
    return {
      id: textOf(event["id"]),
      type: textOf(event["type"]).replace(PREFIX, ""),
      callConnectionId: textOf(data["callConnectionId"]),
      operationContext: textOf(data["operationContext"]) || undefined,
      code: numberOf(result["code"]),
      subCode: numberOf(result["subCode"]),
    };
  });
}

function incomingCall(eventId: string, data: Fields): IncomingCall {
  return {
    eventId,
    incomingCallContext: textOf(data["incomingCallContext"]),
    correlationId: textOf(data["correlationId"]),
    callerNumber: numberOfCaller(objectOf(data["from"])),
    context: readCallerContext(objectOf(data["customContext"])["sipHeaders"]),
  };
}

function numberOfCaller(from: Fields): string {
  const number = textOf(objectOf(from["phoneNumber"])["value"]) || textOf(from["rawId"]).slice(2);
  return /^\+?\d{3,15}$/.test(number) ? number : "anonymous";
}

type Fields = Readonly<Record<string, unknown>>;

function eventsOf(body: unknown): Fields[] | undefined {
  const list = Array.isArray(body) ? body : [body];
  const events = list.map(objectOf);
  const isEvent = (event: Fields) => typeof (event["eventType"] ?? event["type"]) === "string";
  return events.length > 0 && events.length <= BATCH_LIMIT && events.every(isEvent)
    ? events
    : undefined;
}

function objectOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
