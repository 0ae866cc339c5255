import { isRecord } from "./fields.ts";
import type { Operation, OperationRequest, Reply } from "./operation.ts";
import {
  createResource,
  type Resource,
  type ResourceChange,
  ResourceError,
  type ResourceErrorCode,
  type Trunk,
} from "./resource.ts";
import type { TrunkStatus } from "./trunk-health.ts";
import type { VoiceRoute } from "./voice-routes.ts";

/** An operation of the SipRouting API; unlike Call Automation it has a PATCH. */
export type TrunkOperation = Omit<Operation, "method"> & {
  readonly method: "GET" | "PATCH" | "POST";
};

export interface TrunkRestOptions {
  readonly resource: Resource;
  /** Where a trunk's health comes from; without it every health is unknown. */
  readonly trunkStatus?: (fqdn: string) => TrunkStatus;
}

/**
 * The REST surface behind `SipRoutingClient` (`/sip`, REST specification of the SipRouting service,
 * stable 2023-03-01 and preview 2024-11-15): trunks, routes and, in preview versions, domains,
 * health and the routing test.
 */
export function trunkOperations(options: TrunkRestOptions): readonly TrunkOperation[] {
  const { resource } = options;
  const shared = { isUnversioned: true } as const;
  return [
    {
      ...shared,
      name: "SipRouting_Get",
      method: "GET",
      path: /^\/sip$/,
      handle: (request) => ({ status: 200, body: configuration(options, request) }),
    },
    {
      ...shared,
      name: "SipRouting_Update",
      method: "PATCH",
      path: /^\/sip$/,
      handle: (request) =>
        answered(() => {
          resource.update(readChange(request));
          return configuration(options, request);
        }),
    },
    {
      ...shared,
      name: "SipRouting_TestRoutesWithNumber",
      method: "POST",
      path: /^\/sip:testRoutesWithNumber$/,
      handle: (request) => answered(() => ({ matchingRoutes: testRoutes(request) })),
    },
  ];
}

/** What a change is refused with, in the words of the service's recordings. */
interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

const INVALID_BODY: Refusal = {
  status: 422,
  code: "InvalidRequestBody",
  message: "Request body is invalid.",
};
const EMPTY: Refusal = { status: 422, code: "EmptyPatch", message: "Patch with no data provided." };
const INVALID_FQDN: Refusal = {
  status: 422,
  code: "InvalidTrunkFqdn",
  message: "Trunk with an invalid FQDN.",
};
const MISSING_TRUNK: Refusal = {
  status: 422,
  code: "MissingTrunk",
  message: "Route targeting a missing trunk.",
};

const REFUSALS: Readonly<Partial<Record<ResourceErrorCode, Refusal>>> = {
  INVALID_FQDN,
  DOMAIN_NOT_VERIFIED: INVALID_FQDN,
  INVALID_PORT: {
    status: 422,
    code: "InvalidTrunkSipSignalingPort",
    message: "Trunk with an invalid SIP signaling port.",
  },
  UNKNOWN_TRUNK: MISSING_TRUNK,
  TRUNK_IN_USE: MISSING_TRUNK,
  INVALID_ROUTE_NAME: {
    status: 422,
    code: "InvalidRouteName",
    message: "Route with an invalid name.",
  },
  INVALID_PATTERN: {
    status: 422,
    code: "InvalidRouteNumberPattern",
    message: "Route with an invalid number pattern.",
  },
  DUPLICATE_ROUTE: {
    status: 400,
    code: "DuplicatedRoute",
    message: "There is a duplicated route.",
  },
  DUPLICATE_TRUNK: {
    status: 400,
    code: "RouteWithDuplicatedTrunk",
    message: "There is a duplicated trunk in a route.",
  },
};

class ChangeRefused extends Error {
  override readonly name = "ChangeRefused";
  readonly refusal: Refusal;

  constructor(refusal: Refusal, detail: string) {
    super(detail);
    this.refusal = refusal;
  }
}

function answered(run: () => unknown): Reply {
  try {
    return { status: 200, body: run() };
  } catch (error) {
    if (error instanceof ChangeRefused) return refused(error.refusal, error.message);
    if (!(error instanceof ResourceError)) throw error;
    return refused(REFUSALS[error.code] ?? INVALID_BODY, error.message);
  }
}

/** `details` is the emulator's own: which value, and what is wrong with it. */
function refused({ status, code, message }: Refusal, detail: string): Reply {
  return {
    status,
    headers: { "x-ms-error-code": "UnprocessableConfiguration" },
    body: {
      error: {
        code: "UnprocessableConfiguration",
        message: "One or more request inputs are not valid.",
        details: [{ code, message: detail }],
        innererror: { code, message },
      },
    },
  };
}

function configuration({ resource, trunkStatus }: TrunkRestOptions, request: OperationRequest) {
  const isPreview = isPreviewVersion(request);
  const withHealth = request.query.get("expand") === "trunks/health";
  const trunks = resource.trunks.map((trunk) => {
    const health = withHealth ? { health: healthOf(trunkStatus?.(trunk.fqdn)) } : {};
    return [trunk.fqdn, { ...shownTrunk(trunk, isPreview), ...health }] as const;
  });
  const domains = resource.domains.map(
    ({ fqdn, verified }) => [fqdn, { enabled: verified }] as const,
  );
  return {
    ...(isPreview ? { domains: Object.fromEntries(domains) } : {}),
    trunks: Object.fromEntries(trunks),
    routes: resource.routes.map(shownRoute),
  };
}

function isPreviewVersion({ apiVersion }: OperationRequest): boolean {
  return apiVersion.endsWith("-preview");
}

function shownTrunk(trunk: Trunk, isPreview: boolean) {
  const { sipSignalingPort, enabled, directTransfer, privacyHeader } = trunk;
  if (!isPreview) return { sipSignalingPort };
  return { sipSignalingPort, enabled, directTransfer, privacyHeader, ipAddressVersion: "ipv4" };
}

function shownRoute({ description, name, numberPattern, trunks, callerIdOverride }: VoiceRoute) {
  return {
    ...(description === undefined ? {} : { description }),
    name,
    numberPattern,
    trunks,
    ...(callerIdOverride === undefined ? {} : { callerIdOverride }),
  };
}

/** The API's words: `ok` for what the portal calls Active, `active` for its Online. */
function healthOf(status: TrunkStatus | undefined) {
  const { tls = "unknown", ping = "unknown", overall = "unknown" } = status ?? {};
  const reason = overall === "inactive" && ping === "expired" ? { reason: "noRecentPings" } : {};
  return {
    tls: { status: tls === "active" ? "ok" : tls },
    ping: { status: ping === "active" ? "ok" : ping },
    overall: { status: overall === "online" ? "active" : overall, ...reason },
  };
}

function testRoutes({ body, query }: OperationRequest) {
  const number = query.get("targetPhoneNumber") ?? "";
  // The configuration comes with the request; it is judged like one that is to be stored.
  const candidate = createResource({ name: "test" });
  const domains = readDomains(body.raw("domains"));
  candidate.update({
    ...(domains === undefined ? {} : { domains }),
    trunks: readTrunks(body.raw("trunks")) ?? {},
    routes: readRoutes(body.raw("routes")) ?? [],
  });
  return candidate.routesFor(number).map(shownRoute);
}

function readChange({ body }: OperationRequest): ResourceChange {
  const domains = readDomains(body.raw("domains"));
  const trunks = readTrunks(body.raw("trunks"));
  const routes = readRoutes(body.raw("routes"));
  const isEmpty = [domains, trunks].every((part) => Object.keys(part ?? {}).length === 0);
  if (isEmpty && routes === undefined) {
    throw new ChangeRefused(EMPTY, "expected trunks, routes or domains");
  }
  return {
    ...(domains === undefined ? {} : { domains }),
    ...(trunks === undefined ? {} : { trunks }),
    ...(routes === undefined ? {} : { routes }),
  };
}

function readDomains(value: unknown): ResourceChange["domains"] {
  if (value === undefined) return undefined;
  const entries = Object.entries(record(value, "domains")).map(([fqdn, change]) => {
    if (change === null) return [fqdn, null] as const;
    return [fqdn, record(change, `domain ${fqdn}`)["enabled"] !== false] as const;
  });
  return Object.fromEntries(entries);
}

function readTrunks(value: unknown): ResourceChange["trunks"] {
  if (value === undefined) return undefined;
  const entries = Object.entries(record(value, "trunks")).map(
    ([fqdn, change]) => [fqdn, change === null ? null : readTrunk(fqdn, change)] as const,
  );
  return Object.fromEntries(entries);
}

function readTrunk(fqdn: string, value: unknown): Partial<Omit<Trunk, "fqdn">> {
  const change = record(value, `trunk ${fqdn}`);
  const { sipSignalingPort, enabled } = change;
  // Earlier previews called the property stepOutOfSignaling.
  const directTransfer = change["directTransfer"] ?? change["stepOutOfSignaling"];
  const { privacyHeader } = change;
  const privacy = typeof privacyHeader === "string" ? privacyHeader.toLowerCase() : undefined;
  return {
    ...(sipSignalingPort === undefined ? {} : { sipSignalingPort: Number(sipSignalingPort) }),
    ...(typeof enabled === "boolean" ? { enabled } : {}),
    ...(typeof directTransfer === "boolean" ? { directTransfer } : {}),
    ...(privacy === "id" || privacy === "none" ? { privacyHeader: privacy } : {}),
  };
}

function readRoutes(value: unknown): readonly VoiceRoute[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw new ChangeRefused(INVALID_BODY, "expected routes to be a list");
  return value.map(readRoute);
}

function readRoute(value: unknown, index: number): VoiceRoute {
  const route = record(value, `route ${index}`);
  const text = (name: string) => {
    const found = route[name];
    return typeof found === "string" ? found : undefined;
  };
  const { trunks = [] } = route;
  if (!Array.isArray(trunks) || !trunks.every((fqdn) => typeof fqdn === "string")) {
    throw new ChangeRefused(INVALID_BODY, `route ${index}: expected trunks to be a list of FQDNs`);
  }
  const [description, callerIdOverride] = [text("description"), text("callerIdOverride")];
  return {
    name: text("name") ?? "",
    numberPattern: text("numberPattern") ?? "",
    trunks,
    ...(description === undefined ? {} : { description }),
    ...(callerIdOverride === undefined ? {} : { callerIdOverride }),
  };
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (isRecord(value)) return value;
  throw new ChangeRefused(INVALID_BODY, `expected ${what} to be an object`);
}
