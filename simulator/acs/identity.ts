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

/**
 * Reads an identifier from a request. Media actions leave `kind` out and some callers send only the
 * nested object, so it is inferred; what identifies nobody is 400/8523.
 */
export function readIdentifier(value: unknown, name: string): Identifier {
  const fields = Fields.of(value, name);
  const rawId = rawIdOf(fields) ?? fields.optionalText("rawId");
  if (rawId === undefined || rawId === "") throw refusal.invalidField(name);
  const identifier = identifierOf(rawId);
  const number = numberOf(identifier);
  const isWithheld = identifier.phoneNumber?.isAnonymous === true;
  if (number !== undefined && !isWithheld && !isE164(number)) throw refusal.invalidField(name);
  return identifier;
}

export function optionalIdentifier(fields: Fields, name: string): Identifier | undefined {
  return fields.has(name) ? readIdentifier(fields.raw(name), name) : undefined;
}

function rawIdOf(fields: Fields): string | undefined {
  const number = fields.fields("phoneNumber")?.text("value");
  if (number !== undefined) return fields.optionalText("rawId") ?? `4:${number}`;
  const teamsUser = fields.fields("microsoftTeamsUser")?.text("userId");
  if (teamsUser !== undefined) return fields.optionalText("rawId") ?? `8:orgid:${teamsUser}`;
  const teamsApp = fields.fields("microsoftTeamsApp")?.text("appId");
  if (teamsApp !== undefined) return fields.optionalText("rawId") ?? `28:orgid:${teamsApp}`;
  return fields.fields("communicationUser")?.text("id") ?? fields.optionalText("id");
}

function phoneNumber(rest: string): NonNullable<Identifier["phoneNumber"]> {
  if (rest === "anonymous") return { value: "anonymous", isAnonymous: true };
  const at = rest.lastIndexOf("_");
  return at < 0 ? { value: rest } : { value: rest.slice(0, at), assertedId: rest.slice(at + 1) };
}
