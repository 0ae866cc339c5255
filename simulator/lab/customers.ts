import { readFileSync } from "node:fs";

/** A customer as the company's database has it; `fixtures/customers.json`. */
export interface Customer {
  readonly id: string;
  readonly phoneNumber: string;
  readonly name?: string;
}

export function readCustomers(file: string): readonly Customer[] {
  const entries: unknown = JSON.parse(readFileSync(file, "utf8"));
  if (Array.isArray(entries) && entries.every(isCustomer)) return entries;
  throw new Error(`${file}: expected a list of objects with id, phoneNumber and perhaps a name`);
}

function isCustomer(entry: unknown): entry is Customer {
  if (typeof entry !== "object" || entry === null) return false;
  return (
    "id" in entry &&
    typeof entry.id === "string" &&
    "phoneNumber" in entry &&
    typeof entry.phoneNumber === "string" &&
    (!("name" in entry) || typeof entry.name === "string")
  );
}
