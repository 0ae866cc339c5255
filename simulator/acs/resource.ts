import { randomBytes, randomUUID } from "node:crypto";
import { isIP } from "node:net";
import {
  checkPattern,
  matchingRoutes,
  type PatternFault,
  patternWarning,
  type VoiceRoute,
} from "./voice-routes.ts";

/** A session border controller paired with the resource: `SipTrunk` of the SipRouting API. */
export interface Trunk {
  /** Unique; compared without case. */
  readonly fqdn: string;
  readonly sipSignalingPort: number;
  /** IP address behind the FQDN. Left out: the edge's name table decides. */
  readonly address?: string;
  /** A disabled trunk carries no calls either way. */
  readonly enabled: boolean;
  /** Refer-To carries the trunk's own FQDN; ACS leaves the signalling path on a transfer. */
  readonly directTransfer: boolean;
  /** `id`: P-Asserted-Identity goes with `Privacy: id`; `none`: without it. */
  readonly privacyHeader: "id" | "none";
}

/** What has to be said of a trunk; the rest has the service's defaults. */
export type TrunkSettings = Pick<Trunk, "fqdn" | "sipSignalingPort"> & Partial<Trunk>;

export interface Domain {
  readonly fqdn: string;
  /** Verified by its TXT record. Calls of unverified domains are refused. */
  readonly verified: boolean;
}

export interface ResourceOptions {
  readonly name: string;
  /** Base64. Default: random. */
  readonly accessKey?: string;
  /** The immutable resource id, a GUID. Default: random. */
  readonly resourceId?: string;
  /** Domains, verified unless they say otherwise. */
  readonly domains?: readonly (string | Domain)[];
  readonly trunks?: readonly TrunkSettings[];
  readonly routes?: readonly VoiceRoute[];
  /** Numbers bought from Microsoft, E.164. Direct Routing numbers need not be listed. */
  readonly numbers?: readonly string[];
}

export type ResourceErrorCode =
  | "INVALID_FQDN"
  | "INVALID_PORT"
  | "INVALID_ADDRESS"
  | "DOMAIN_NOT_VERIFIED"
  | "INVALID_ROUTE"
  | "INVALID_ROUTE_NAME"
  | "DUPLICATE_ROUTE"
  | "DUPLICATE_TRUNK"
  | "INVALID_PATTERN"
  | "UNKNOWN_TRUNK"
  | "TRUNK_IN_USE"
  | "INVALID_NUMBER"
  | "INVALID_ACCESS_KEY";

/** A configuration that the resource does not take. `target` names the offending value. */
export class ResourceError extends Error {
  override readonly name = "ResourceError";
  readonly code: ResourceErrorCode;
  readonly target: string;

  constructor(code: ResourceErrorCode, target: string, message: string) {
    super(message);
    this.code = code;
    this.target = target;
  }
}

/** An ACS resource in memory: who may connect, who is trusted, and where calls go. */
export interface Resource {
  readonly name: string;
  readonly accessKey: string;
  readonly resourceId: string;
  readonly domains: readonly Domain[];
  readonly trunks: readonly Trunk[];
  readonly routes: readonly VoiceRoute[];
  readonly numbers: readonly string[];
  /** The trunk paired under exactly this host name. */
  trunk(fqdn: string): Trunk | undefined;
  /** Changes several things at once, or nothing. Throws {@link ResourceError}. */
  update(change: ResourceChange): void;
  /** Adds a trunk or changes one. Throws {@link ResourceError}. */
  setTrunk(trunk: TrunkSettings): Trunk;
  /** Throws TRUNK_IN_USE while a route names it. */
  deleteTrunk(fqdn: string): void;
  /** Replaces the whole list, as the service does. Throws {@link ResourceError}. */
  setRoutes(routes: readonly VoiceRoute[]): void;
  setDomain(domain: string | Domain): void;
  /** Called with the name of each trunk that is paired no more. Returns the function that stops it. */
  onTrunkDeleted(listener: (fqdn: string) => void): () => void;
  /** Is the part after the first label (or the whole name) a verified domain? */
  isVerified(fqdn: string): boolean;
  /** Matching routes in order. */
  routesFor(number: string): readonly VoiceRoute[];
  /** What is odd about the routes, though the service stores them. */
  readonly warnings: readonly string[];
}

/** A merge patch: `null` takes an entry away, routes are replaced as a whole. */
export interface ResourceChange {
  readonly domains?: Readonly<Record<string, boolean | null>>;
  readonly trunks?: Readonly<Record<string, Partial<Omit<Trunk, "fqdn">> | null>>;
  readonly routes?: readonly VoiceRoute[];
}

/** Limits of the SipRouting API (`@azure/communication-phone-numbers`). */
const LIMITS = {
  routes: 250,
  trunksPerRoute: 250,
  nameLength: 256,
  descriptionLength: 1024,
  patternLength: 1024,
  fqdnLength: 63,
} as const;

/** Throws {@link ResourceError} for the first setting that the service would refuse. */
export function createResource(options: ResourceOptions): Resource {
  const { accessKey = randomBytes(64).toString("base64"), resourceId = randomUUID() } = options;
  checkAccessKey(accessKey);
  for (const number of options.numbers ?? []) checkNumber(number);
  const resource = new MemoryResource(options.name, accessKey, resourceId, options.numbers ?? []);
  for (const domain of options.domains ?? []) resource.setDomain(domain);
  for (const trunk of options.trunks ?? []) resource.setTrunk(trunk);
  resource.setRoutes(options.routes ?? []);
  return resource;
}

class MemoryResource implements Resource {
  readonly name: string;
  readonly accessKey: string;
  readonly resourceId: string;
  readonly numbers: readonly string[];
  #domains = new Map<string, Domain>();
  #trunks = new Map<string, Trunk>();
  #routes: readonly VoiceRoute[] = [];
  readonly #trunkDeleted = new Set<(fqdn: string) => void>();

  constructor(name: string, accessKey: string, resourceId: string, numbers: readonly string[]) {
    this.name = name;
    this.accessKey = accessKey;
    this.resourceId = resourceId;
    this.numbers = numbers;
  }

  get domains(): readonly Domain[] {
    return [...this.#domains.values()];
  }

  get trunks(): readonly Trunk[] {
    return [...this.#trunks.values()];
  }

  get routes(): readonly VoiceRoute[] {
    return this.#routes;
  }

  trunk(fqdn: string): Trunk | undefined {
    return this.#trunks.get(fqdn.toLowerCase());
  }

  setTrunk(settings: TrunkSettings): Trunk {
    checkTrunk(settings);
    if (!this.isVerified(settings.fqdn)) {
      const domain = settings.fqdn.slice(settings.fqdn.indexOf(".") + 1);
      const message = `trunk ${settings.fqdn}: the domain ${domain} is not verified`;
      throw new ResourceError("DOMAIN_NOT_VERIFIED", settings.fqdn, message);
    }
    const known = this.trunk(settings.fqdn) ?? DEFAULT_TRUNK;
    const trunk = { ...known, ...settings };
    this.#trunks.set(trunk.fqdn.toLowerCase(), trunk);
    return trunk;
  }

  deleteTrunk(fqdn: string): void {
    const user = this.#routes.find(({ trunks }) => trunks.some((name) => sameName(name, fqdn)));
    if (user !== undefined) {
      const message = `trunk ${fqdn} is named by the voice route "${user.name}"`;
      throw new ResourceError("TRUNK_IN_USE", fqdn, message);
    }
    this.update({ trunks: { [fqdn]: null } });
  }

  update({ domains = {}, trunks = {}, routes }: ResourceChange): void {
    const before = [this.#domains, this.#trunks, this.#routes] as const;
    this.#domains = new Map(this.#domains);
    this.#trunks = new Map(this.#trunks);
    try {
      for (const [fqdn, verified] of Object.entries(domains)) this.#changeDomain(fqdn, verified);
      for (const [fqdn, change] of Object.entries(trunks)) this.#changeTrunk(fqdn, change);
      this.setRoutes(routes ?? this.#routes);
    } catch (error) {
      [this.#domains, this.#trunks, this.#routes] = before;
      throw error;
    }
    const [, trunksBefore] = before;
    for (const { fqdn } of trunksBefore.values()) {
      if (this.trunk(fqdn) !== undefined) continue;
      for (const listener of this.#trunkDeleted) listener(fqdn);
    }
  }

  setRoutes(routes: readonly VoiceRoute[]): void {
    if (routes.length > LIMITS.routes) {
      const message = `at most ${LIMITS.routes} voice routes, got ${routes.length}`;
      throw new ResourceError("INVALID_ROUTE", "routes", message);
    }
    for (const route of routes) this.#checkRoute(route);
    const names = routes.map(({ name }) => name);
    const repeated = names.find((name, index) => names.indexOf(name) !== index);
    if (repeated !== undefined) {
      const message = `two voice routes are called "${repeated}"`;
      throw new ResourceError("DUPLICATE_ROUTE", repeated, message);
    }
    this.#routes = [...routes];
  }

  setDomain(domain: string | Domain): void {
    const entry = typeof domain === "string" ? { fqdn: domain, verified: true } : domain;
    checkHostName(entry.fqdn);
    this.#domains.set(entry.fqdn.toLowerCase(), entry);
  }

  onTrunkDeleted(listener: (fqdn: string) => void): () => void {
    this.#trunkDeleted.add(listener);
    return () => void this.#trunkDeleted.delete(listener);
  }

  isVerified(fqdn: string): boolean {
    const name = fqdn.toLowerCase();
    const parent = name.slice(name.indexOf(".") + 1);
    return [name, parent].some((candidate) => this.#domains.get(candidate)?.verified === true);
  }

  routesFor(number: string): readonly VoiceRoute[] {
    return matchingRoutes(this.#routes, number);
  }

  get warnings(): readonly string[] {
    return this.#routes.flatMap((route) => {
      const warning = patternWarning(route.numberPattern);
      return warning === undefined ? [] : [complaint(route, warning)];
    });
  }

  #changeDomain(fqdn: string, verified: boolean | null): void {
    if (verified === null) this.#domains.delete(fqdn.toLowerCase());
    else this.setDomain({ fqdn, verified });
  }

  #changeTrunk(fqdn: string, change: Partial<Trunk> | null): void {
    if (change === null) {
      this.#trunks.delete(fqdn.toLowerCase());
      return;
    }
    const sipSignalingPort = change.sipSignalingPort ?? this.trunk(fqdn)?.sipSignalingPort ?? 0;
    this.setTrunk({ ...change, fqdn, sipSignalingPort });
  }

  #checkRoute(route: VoiceRoute): void {
    checkRouteShape(route);
    const fault = checkPattern(route.numberPattern);
    if (fault !== undefined) {
      throw new ResourceError("INVALID_PATTERN", route.name, complaint(route, fault));
    }
    const missing = route.trunks.find((fqdn) => this.trunk(fqdn) === undefined);
    if (missing !== undefined) {
      const message = `route "${route.name}" names the trunk ${missing}, which does not exist`;
      throw new ResourceError("UNKNOWN_TRUNK", missing, message);
    }
  }
}

const DEFAULT_TRUNK = { enabled: true, directTransfer: false, privacyHeader: "id" } as const;

function checkTrunk({ fqdn, sipSignalingPort: port, address }: TrunkSettings): void {
  checkHostName(fqdn);
  if (fqdn.length > LIMITS.fqdnLength) {
    const message = `trunk ${fqdn}: at most ${LIMITS.fqdnLength} characters, got ${fqdn.length}`;
    throw new ResourceError("INVALID_FQDN", fqdn, message);
  }
  if (/\.(?:onmicrosoft|azure)\.com$/i.test(fqdn)) {
    const message = `trunk ${fqdn}: Microsoft's own domains cannot name a border controller`;
    throw new ResourceError("INVALID_FQDN", fqdn, message);
  }
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    const message = `trunk ${fqdn}: sipSignalingPort from 1 to 65535, got ${port}`;
    throw new ResourceError("INVALID_PORT", fqdn, message);
  }
  if (address !== undefined && isIP(address) === 0) {
    const message = `trunk ${fqdn}: address must be an IP address, got "${address}"`;
    throw new ResourceError("INVALID_ADDRESS", fqdn, message);
  }
}

const HOST_NAME = /^(?=.{1,253}$)(?:[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?\.)+[a-z][a-z\d-]*$/i;

function checkHostName(fqdn: string): void {
  if (HOST_NAME.test(fqdn)) return;
  const message = `expected a host name of two labels or more, got "${fqdn}"`;
  throw new ResourceError("INVALID_FQDN", fqdn, message);
}

function complaint({ name, numberPattern }: VoiceRoute, { position, reason }: PatternFault) {
  return `route "${name}", ${numberPattern}: at ${position}, ${reason}`;
}

function checkRouteShape({ name, description = "", numberPattern, trunks }: VoiceRoute): void {
  const { length } = numberPattern;
  const hasName = name.length > 0 && name.length <= LIMITS.nameLength;
  const rules: readonly (readonly [boolean, ResourceErrorCode, string])[] = [
    [hasName, "INVALID_ROUTE_NAME", "a name of 1 to 256 characters"],
    [description.length <= LIMITS.descriptionLength, "INVALID_ROUTE", "a shorter description"],
    [length > 0 && length <= LIMITS.patternLength, "INVALID_PATTERN", "1 to 1024 characters"],
    [trunks.length <= LIMITS.trunksPerRoute, "INVALID_ROUTE", "at most 250 trunks"],
    [new Set(trunks).size === trunks.length, "DUPLICATE_TRUNK", "each trunk once"],
  ];
  const broken = rules.find(([holds]) => !holds);
  if (broken === undefined) return;
  const [, code, expected] = broken;
  throw new ResourceError(code, name, `route "${name}": expected ${expected}`);
}

function checkNumber(number: string): void {
  if (/^\+[1-9]\d{1,14}$/.test(number)) return;
  throw new ResourceError("INVALID_NUMBER", number, `expected an E.164 number, got "${number}"`);
}

/** A key that is not base64 does not fail in the SDK, it signs wrongly: refuse it here. */
function checkAccessKey(key: string): void {
  if (key !== "" && Buffer.from(key, "base64").toString("base64") === key) return;
  throw new ResourceError("INVALID_ACCESS_KEY", "accessKey", "expected an access key in base64");
}

function sameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
