import { refusal } from "./service-error.ts";

/**
 * The members of a JSON object that came over the wire, read by name and expected type. What does
 * not fit is answered 400/8523 with the member's name; `null` counts as absent.
 */
export class Fields {
  readonly #values: Readonly<Record<string, unknown>>;

  private constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  static of(value: unknown, name = "body"): Fields {
    if (!isRecord(value)) {
      throw name === "body" ? refusal.invalidBody("not a JSON object") : refusal.invalidField(name);
    }
    return new Fields(value);
  }

  has(name: string): boolean {
    return this.raw(name) !== undefined;
  }

  /** The member as it came, or undefined. */
  raw(name: string): unknown {
    return Object.hasOwn(this.#values, name) ? (this.#values[name] ?? undefined) : undefined;
  }

  text(name: string): string {
    const value = this.optionalText(name);
    if (value === undefined || value === "") throw refusal.invalidField(name);
    return value;
  }

  optionalText(name: string): string | undefined {
    const value = this.raw(name);
    if (value === undefined || typeof value === "string") return value;
    throw refusal.invalidField(name);
  }

  /** One of `choices`, compared without regard to case, as the service does. */
  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const value = this.optionalText(name);
    if (value === undefined) return undefined;
    const found = choices.find((choice) => choice.toLowerCase() === value.toLowerCase());
    if (found === undefined) throw refusal.invalidField(name);
    return found;
  }

  flag(name: string): boolean {
    const value = this.raw(name);
    if (value === undefined) return false;
    if (typeof value === "boolean") return value;
    throw refusal.invalidField(name);
  }

  /** A whole number within the bounds, both included. */
  count(name: string, [least, most]: readonly [number, number]): number | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) {
      return value;
    }
    throw refusal.invalidField(name);
  }

  fields(name: string): Fields | undefined {
    const value = this.raw(name);
    return value === undefined ? undefined : Fields.of(value, name);
  }

  list(name: string): readonly unknown[] {
    const value = this.raw(name);
    if (value === undefined) return [];
    if (Array.isArray(value)) return value;
    throw refusal.invalidField(name);
  }

  /** A flat map of strings, such as `sipHeaders`. */
  texts(name: string): Readonly<Record<string, string>> {
    const nested = this.fields(name);
    const entries = nested === undefined ? [] : Object.entries(nested.#values);
    return Object.fromEntries(
      entries.flatMap(([key, value]) => {
        if (value === null) return [];
        if (typeof value !== "string") throw refusal.invalidField(name);
        return [[key, value]];
      }),
    );
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
