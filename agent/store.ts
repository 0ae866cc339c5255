import { chmodSync, closeSync, openSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { maskPaymentCards } from "./payment-card.ts";
import type { CustomerSeed } from "./variables.ts";

export type Customer = CustomerSeed;

/** How a call ended, as its record keeps it. */
export type CallOutcome =
  | "completed"
  | "caller-left"
  | "escalated"
  | "silent"
  | "too-long"
  | "failed"
  | "interrupted";

/** A call that begins: known from the IncomingCall event and the caller's context. */
export interface CallStart {
  readonly id: string;
  readonly correlationId: string;
  readonly callerNumber: string;
  readonly customerId?: string;
  readonly transferReason?: string;
  readonly at: Date;
}

export interface CallEnd {
  readonly outcome: CallOutcome;
  readonly detail?: string;
  readonly summary?: string;
  readonly at: Date;
}

/**
 * One finished turn. `text` is what was said; for the agent, what the caller heard of it. Payment
 * card numbers are masked before they are written.
 */
export interface Turn {
  readonly role: "caller" | "agent" | "tool";
  readonly text: string;
  readonly interrupted?: boolean;
  readonly at: Date;
}

export interface CallRecord {
  readonly id: string;
  readonly correlationId: string;
  readonly callerNumber: string;
  readonly customerId: string | undefined;
  readonly transferReason: string | undefined;
  readonly startedAt: string;
  readonly endedAt: string | undefined;
  readonly outcome: CallOutcome | undefined;
  readonly detail: string | undefined;
  readonly summary: string | undefined;
}

export interface TurnRecord {
  readonly role: Turn["role"];
  readonly text: string;
  readonly interrupted: boolean;
  readonly at: string;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS customers (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, phone_number TEXT NOT NULL, plan TEXT NOT NULL,
    balance TEXT NOT NULL, currency TEXT NOT NULL, last_invoice TEXT NOT NULL,
    open_dispute INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS customers_by_phone ON customers (phone_number);
  CREATE TABLE IF NOT EXISTS calls (
    id TEXT PRIMARY KEY, correlation_id TEXT NOT NULL, caller_number TEXT NOT NULL,
    customer_id TEXT, transfer_reason TEXT, started_at TEXT NOT NULL,
    ended_at TEXT, outcome TEXT, detail TEXT, summary TEXT
  ) STRICT;
  CREATE INDEX IF NOT EXISTS calls_by_customer ON calls (customer_id);
  CREATE INDEX IF NOT EXISTS calls_by_start ON calls (started_at);
  CREATE TABLE IF NOT EXISTS turns (
    call_id TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE, number INTEGER NOT NULL,
    role TEXT NOT NULL, text TEXT NOT NULL, interrupted INTEGER NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (call_id, number)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS checks (id INTEGER PRIMARY KEY, number INTEGER NOT NULL) STRICT;
`;

/**
 * Customers, calls and transcripts in SQLite. Every turn is its own committed write in WAL mode, so
 * a killed process loses at most the turn that was being spoken; on the next start its calls are
 * closed as `interrupted`.
 */
export class Store implements Disposable {
  readonly #database: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** `path` may be ":memory:". `customers` are written over those of the same id. */
  static open(path: string, customers: readonly Customer[] = []): Store {
    if (path !== ":memory:") keepToOwner(path);
    const database = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: 2000 });
    database.exec(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON",
    );
    database.exec(SCHEMA);
    const store = new Store(database);
    for (const customer of customers) store.saveCustomer(customer);
    return store;
  }

  saveCustomer(customer: Customer): void {
    const { id, name, phoneNumber, plan, balance, currency, lastInvoice, openDispute } = customer;
    this.#statement("INSERT OR REPLACE INTO customers VALUES (?, ?, ?, ?, ?, ?, ?, ?)").run(
      id,
      name,
      phoneNumber,
      plan,
      balance,
      currency,
      lastInvoice,
      openDispute ? 1 : 0,
    );
  }

  customer(id: string): Customer | undefined {
    return asCustomer(this.#statement("SELECT * FROM customers WHERE id = ?").get(id));
  }

  /** The only customer with this number; a number shared by several identifies nobody. */
  customerByPhone(phoneNumber: string): Customer | undefined {
    const rows = this.#statement("SELECT * FROM customers WHERE phone_number = ? LIMIT 2").all(
      phoneNumber,
    );
    return rows.length === 1 ? asCustomer(rows[0]) : undefined;
  }

  /** A call that is known already goes on: it has come back from another replica, or a dead process. */
  startCall({ id, correlationId, callerNumber, customerId, transferReason, at }: CallStart): void {
    const columns = "id, correlation_id, caller_number, customer_id, transfer_reason, started_at";
    const goOn = "ended_at = NULL, outcome = NULL, detail = NULL, summary = NULL";
    this.#statement(
      `INSERT INTO calls (${columns}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET ${goOn}`,
    ).run(
      id,
      correlationId,
      callerNumber,
      customerId ?? null,
      transferReason ?? null,
      at.toISOString(),
    );
  }

  /** Of a call that has no record (any more) no turn is kept: its customer may be forgotten meanwhile. */
  addTurn(callId: string, { role, text, interrupted = false, at }: Turn): void {
    const number = "(SELECT coalesce(max(number), 0) + 1 FROM turns WHERE call_id = ?1)";
    const isKnown = "EXISTS (SELECT 1 FROM calls WHERE id = ?1)";
    this.#statement(`INSERT INTO turns SELECT ?1, ${number}, ?2, ?3, ?4, ?5 WHERE ${isKnown}`).run(
      callId,
      role,
      maskPaymentCards(text),
      interrupted ? 1 : 0,
      at.toISOString(),
    );
  }

  /** The first end counts; a later one changes nothing. */
  endCall(id: string, { outcome, detail, summary, at }: CallEnd): void {
    const set = "ended_at = ?, outcome = ?, detail = ?, summary = ?";
    this.#statement(`UPDATE calls SET ${set} WHERE id = ? AND ended_at IS NULL`).run(
      at.toISOString(),
      outcome,
      detail ?? null,
      summary === undefined ? null : maskPaymentCards(summary),
      id,
    );
  }

  /** Closes calls a killed process left open. Returns how many. */
  closeInterrupted(at: Date): number {
    const set = "UPDATE calls SET ended_at = ?, outcome = 'interrupted' WHERE ended_at IS NULL";
    return Number(this.#statement(set).run(at.toISOString()).changes);
  }

  call(id: string): CallRecord | undefined {
    const row = this.#statement("SELECT * FROM calls WHERE id = ?").get(id);
    return row === undefined ? undefined : asCall(row);
  }

  /** Newest first, at most `limit`. */
  calls(limit = 100): CallRecord[] {
    return this.#statement("SELECT * FROM calls ORDER BY started_at DESC, rowid DESC LIMIT ?")
      .all(limit)
      .map(asCall);
  }

  turns(callId: string): TurnRecord[] {
    return this.#statement("SELECT * FROM turns WHERE call_id = ? ORDER BY number")
      .all(callId)
      .map((row) => ({
        role: textOf(row["role"]) as Turn["role"],
        text: textOf(row["text"]),
        interrupted: row["interrupted"] === 1,
        at: textOf(row["at"]),
      }));
  }

  /** Retention: removes calls (and their turns) that started before `limit`. Returns how many. */
  deleteCallsBefore(limit: Date): number {
    const sql = "DELETE FROM calls WHERE started_at < ? AND ended_at IS NOT NULL";
    return Number(this.#statement(sql).run(limit.toISOString()).changes);
  }

  /** The right to be forgotten: the customer and every call of theirs. Returns the calls removed. */
  deleteCustomer(id: string): number {
    const number = this.customer(id)?.phoneNumber ?? null;
    const calls = "DELETE FROM calls WHERE customer_id = ?1 OR caller_number = ?2";
    const removed = Number(this.#statement(calls).run(id, number).changes);
    this.#statement("DELETE FROM customers WHERE id = ?").run(id);
    this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    return removed;
  }

  /** Writes one row, always the same: fails when the file, or the disk, takes no page. */
  check(): void {
    const next = "ON CONFLICT (id) DO UPDATE SET number = number + 1";
    this.#statement(`INSERT INTO checks VALUES (1, 1) ${next}`).run();
  }

  [Symbol.dispose](): void {
    if (!this.#database.isOpen) return;
    this.#prepared.clear();
    this.#database.close();
  }

  #statement(sql: string): StatementSync {
    const prepared = this.#prepared.get(sql) ?? this.#database.prepare(sql);
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}

/** Transcripts are nobody else's to read; SQLite gives its journals the same mode. */
function keepToOwner(path: string): void {
  closeSync(openSync(path, "a", 0o600));
  chmodSync(path, 0o600);
}

type Row = ReturnType<StatementSync["get"]>;

function asCustomer(row: Row): Customer | undefined {
  if (row === undefined) return undefined;
  return {
    id: textOf(row["id"]),
    name: textOf(row["name"]),
    phoneNumber: textOf(row["phone_number"]),
    plan: textOf(row["plan"]),
    balance: textOf(row["balance"]),
    currency: textOf(row["currency"]),
    lastInvoice: textOf(row["last_invoice"]),
    openDispute: row["open_dispute"] === 1,
  };
}

function asCall(row: NonNullable<Row>): CallRecord {
  return {
    id: textOf(row["id"]),
    correlationId: textOf(row["correlation_id"]),
    callerNumber: textOf(row["caller_number"]),
    customerId: textOrNothing(row["customer_id"]),
    transferReason: textOrNothing(row["transfer_reason"]),
    startedAt: textOf(row["started_at"]),
    endedAt: textOrNothing(row["ended_at"]),
    outcome: textOrNothing(row["outcome"]) as CallOutcome | undefined,
    detail: textOrNothing(row["detail"]),
    summary: textOrNothing(row["summary"]),
  };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function textOrNothing(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
