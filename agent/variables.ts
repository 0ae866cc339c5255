import { readFileSync } from "node:fs";

/** One environment variable that cannot be used. Secrets are named, never shown. */
export interface ConfigFault {
  readonly name: string;
  readonly expected: string;
  readonly got: string;
}

/** A customer as the seed file holds it (an array of these). */
export interface CustomerSeed {
  readonly id: string;
  readonly name: string;
  readonly phoneNumber: string;
  readonly plan: string;
  readonly balance: string;
  readonly currency: string;
  readonly lastInvoice: string;
  readonly openDispute: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Reads variables one by one; a fault is noted and a harmless value stands in for it. */
export class Variables {
  readonly #env: Environment;
  readonly #faults: ConfigFault[];

  constructor(env: Environment, faults: ConfigFault[]) {
    this.#env = env;
    this.#faults = faults;
  }

  fault(name: string, expected: string, got: string | undefined): void {
    this.#faults.push({ name, expected, got: got === undefined ? "nothing" : `"${got}"` });
  }

  optional(name: string): string | undefined {
    const value = this.#env[name]?.trim();
    return value === "" ? undefined : value;
  }

  text(name: string, or: string): string {
    return this.optional(name) ?? or;
  }

  required(name: string, expected: string): string {
    const value = this.optional(name);
    if (value === undefined) this.fault(name, expected, value);
    return value ?? "";
  }

  secret(name: string): string | undefined {
    const value = this.optional(name);
    if (value !== undefined && value.length < 4) this.fault(name, "at least 4 characters", "•••");
    return value;
  }

  requiredSecret(name: string): string {
    return this.required(name, "a key");
  }

  flag(name: string): boolean {
    return this.oneOf(name, ["true", "false"], "false") === "true";
  }

  oneOf<Value extends string>(name: string, allowed: readonly Value[], or: Value): Value {
    const value = this.optional(name);
    if (value === undefined) return or;
    const found = allowed.find((candidate) => candidate === value);
    if (found === undefined) this.fault(name, allowed.join(" | "), value);
    return found ?? or;
  }

  integer(name: string, { from, to, or }: { from: number; to: number; or: number }): number {
    const value = this.optional(name);
    if (value === undefined) return or;
    const parsed = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    if (parsed >= from && parsed <= to) return parsed;
    this.fault(name, `a whole number from ${from} to ${to}`, value);
    return or;
  }

  matching(name: string, pattern: RegExp, expected: string, or: string): string {
    const value = this.optional(name) ?? or;
    if (!pattern.test(value)) this.fault(name, expected, value);
    return value;
  }

  phoneNumber(name: string, need: "required"): string;
  phoneNumber(name: string, need: "optional"): string | undefined;
  phoneNumber(name: string, need: "required" | "optional"): string | undefined {
    const value = this.optional(name);
    if (value === undefined && need === "optional") return undefined;
    if (value === undefined || !/^\+[1-9]\d{6,14}$/.test(value)) {
      this.fault(name, "an E.164 number such as +18005550150", value);
    }
    return value ?? "";
  }

  /** An absolute URL without its trailing slash. */
  url(name: string, protocols: readonly string[], shown = this.optional(name)): string | undefined {
    const value = this.optional(name);
    if (value === undefined) return undefined;
    const parsed = URL.parse(value);
    if (parsed !== null && protocols.includes(parsed.protocol)) return value.replace(/\/+$/, "");
    this.fault(name, `a URL with ${protocols.join(" or ")}`, shown);
    return undefined;
  }

  /** One that may hold a password. */
  secretUrl(name: string, protocols: readonly string[]): string | undefined {
    return this.url(name, protocols, "•••");
  }

  requiredUrl(name: string, protocols: readonly string[]): string {
    if (this.optional(name) === undefined) {
      this.fault(name, `a URL with ${protocols.join(" or ")}`, undefined);
    }
    return this.url(name, protocols) ?? "";
  }

  /** The same form the SDK accepts: `endpoint=…;accesskey=…`, in this order. */
  connectionString(name: string): string {
    const value = this.optional(name);
    if (value === undefined || !/^endpoint=https?:\/\/[^;]+;accesskey=.+$/i.test(value)) {
      const got = value === undefined ? undefined : value.replace(/(accesskey=).*/i, "$1•••");
      this.fault(name, "endpoint=https://…;accesskey=…", got);
    }
    return value ?? "";
  }

  customers(name: string): readonly CustomerSeed[] {
    const path = this.optional(name);
    if (path === undefined) return [];
    try {
      const parsed: unknown = JSON.parse(readFileSync(path, "utf8"));
      if (Array.isArray(parsed) && parsed.every(isCustomer)) return parsed;
      this.fault(name, "a JSON array of customers with id, name, phoneNumber, plan, …", path);
    } catch (error) {
      this.fault(name, "a readable JSON file", `${path}: ${(error as Error).message}`);
    }
    return [];
  }
}

const CUSTOMER_FIELDS = ["id", "name", "phoneNumber", "plan", "balance", "currency", "lastInvoice"];

function isCustomer(value: unknown): value is CustomerSeed {
  if (typeof value !== "object" || value === null) return false;
  const fields = Object.entries(value);
  const has = (name: string, type: string) =>
    fields.some(([key, field]) => key === name && typeof field === type);
  return CUSTOMER_FIELDS.every((name) => has(name, "string")) && has("openDispute", "boolean");
}
