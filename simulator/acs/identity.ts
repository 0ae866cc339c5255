import { Fields } from "./fields.ts";
import { refusal } from "./service-error.ts";

/** A CommunicationIdentifier as it goes on the wire. `rawId` alone identifies. */
export interface Identifier {
  readonly kind: IdentifierKind;
  readonly rawId: string;
  readonly phoneNumber?: { value: string; isAnonymous?: boolean; assertedId?: string };
  readonly communicationUser?: { id: string };
  readonly microsoftTeamsUser?: { userId: string; isAnonymous: boolean; cloud: string };
  readonly microsoftTeamsApp?: { appId: string; cloud: string };
}

type IdentifierKind =
  | "phoneNumber"
  | "communicationUser"
  | "microsoftTeamsUser"
  | "microsoftTeamsApp"
  | "unknown";

const CLOUDS: Readonly<Record<string, string>> = { orgid: "public", gcch: "gcch", dod: "dod" };
const E164 = /^\+[1-9]\d{1,14}$/;

export function isE164(number: string): boolean {
  return E164.test(number);
}

/** The identifier a raw id stands for; the prefixes are those of the Azure identity libraries. */
export function identifierOf(rawId: string): Identifier {
  if (rawId.startsWith("4:")) {
    return { kind: "phoneNumber", rawId, phoneNumber: phoneNumber(rawId.slice(2)) };
  }
  if (rawId.startsWith("8:acs:") || rawId.startsWith("8:spool:")) {
    return { kind: "communicationUser", rawId, communicationUser: { id: rawId } };
  }
  const [, family, realm, id] = /^(8|28):(orgid|gcch|dod|teamsvisitor):(.+)$/.exec(rawId) ?? [];
  if (realm === undefined || id === undefined) return { kind: "unknown", rawId };
  const cloud = CLOUDS[realm] ?? "public";
  return family === "28"
    ? { kind: "microsoftTeamsApp", rawId, microsoftTeamsApp: { appId: id, cloud } }
    : {
        kind: "microsoftTeamsUser",
        rawId,
        microsoftTeamsUser: { userId: id, isAnonymous: realm === "teamsvisitor", cloud },
      };
}

export function phoneIdentifier(number: string): Identifier {
  return identifierOf(`4:${number}`);
}

/** The number behind `4:…`, or undefined for every other kind. */
export function numberOf(identifier: Identifier): string | undefined {
  return identifier.phoneNumber?.value;
}

/** What a request may call an identifier; the last two of them name no kind of their own here. */
const KINDS = [
  "phoneNumber",
  "communicationUser",
  "microsoftTeamsUser",
  "microsoftTeamsApp",
  "teamsExtensionUser",
  "unknown",
] as const;

/**
 * Reads an identifier from a request. Media actions leave `kind` out and some callers send only the
 * nested object, so it is inferred; what identifies nobody, or contradicts itself, is 400/8523.
 */
export function readIdentifier(value: unknown, name: string): Identifier {
  const fields = Fields.of(value, name);
  const nested = nestedIdentifier(fields);
  const rawId = fields.optionalText("rawId") ?? nested?.rawId ?? fields.optionalText("id") ?? "";
  const identifier = identifierOf(rawId);
  if (!isNameable(rawId) || !agrees(identifier, nested, fields)) throw refusal.invalidField(name);
  const number = numberOf(identifier);
  const isWithheld = identifier.phoneNumber?.isAnonymous === true;
  if (number !== undefined && !isWithheld && !isE164(number)) throw refusal.invalidField(name);
  return identifier;
}

export function optionalIdentifier(fields: Fields, name: string): Identifier | undefined {
  return fields.has(name) ? readIdentifier(fields.raw(name), name) : undefined;
}

/** The identifier that the nested object of a request stands for, if there is one. */
function nestedIdentifier(fields: Fields): Identifier | undefined {
  const rawIds = [
    prefixed("4:", fields.fields("phoneNumber")?.text("value")),
    prefixed("8:orgid:", fields.fields("microsoftTeamsUser")?.text("userId")),
    prefixed("28:orgid:", fields.fields("microsoftTeamsApp")?.text("appId")),
    fields.fields("communicationUser")?.text("id"),
  ];
  const rawId = rawIds.find((candidate) => candidate !== undefined);
  return rawId === undefined ? undefined : identifierOf(rawId);
}

function prefixed(prefix: string, id: string | undefined): string | undefined {
  return id === undefined ? undefined : `${prefix}${id}`;
}

/** Raw ids are printable and not empty. */
function isNameable(rawId: string): boolean {
  return /^[^\p{Cc}]+$/u.test(rawId);
}

/** True when raw id, nested object and `kind` mean the same kind of party. */
function agrees(identifier: Identifier, nested: Identifier | undefined, fields: Fields): boolean {
  const kind = fields.choice("kind", KINDS);
  const isSaid = kind !== undefined && kind !== "unknown" && kind !== "teamsExtensionUser";
  const meant = [nested?.kind, isSaid ? kind : undefined].filter((each) => each !== undefined);
  return meant.every((each) => each === identifier.kind);
}

function phoneNumber(rest: string): NonNullable<Identifier["phoneNumber"]> {
  if (rest === "anonymous") return { value: "anonymous", isAnonymous: true };
  const at = rest.lastIndexOf("_");
  return at < 0 ? { value: rest } : { value: rest.slice(0, at), assertedId: rest.slice(at + 1) };
}
