import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempDisposableSync, mkdtempSync, readdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { type Customer, Store } from "./store.ts";

const DANA: Customer = {
  id: "C-1042",
  name: "Dana Miller",
  phoneNumber: "+14255550100",
  plan: "Premium",
  balance: "49.99",
  currency: "USD",
  lastInvoice: "INV-2207",
  openDispute: true,
};
const NOON = new Date("2026-01-02T12:00:00Z");
const START = { id: "call-1", correlationId: "c", callerNumber: "+14255550100", at: NOON };

test("a customer is found by id and by number", () => {
  using store = Store.open(":memory:", [DANA]);
  expect(store.customer("C-1042")).toEqual(DANA);
  expect(store.customerByPhone("+14255550100")).toEqual(DANA);
  expect(store.customer("C-9")).toBeUndefined();
});

test("a number that two customers share identifies nobody", () => {
  using store = Store.open(":memory:", [DANA, { ...DANA, id: "C-2" }]);
  expect(store.customerByPhone("+14255550100")).toBeUndefined();
});

test("seeding again replaces", () => {
  using store = Store.open(":memory:", [DANA, { ...DANA, plan: "Basic" }]);
  expect(store.customer("C-1042")?.plan).toBe("Basic");
});

test("the database and its journals are their owner's only", () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), "agent-store-"));
  using _store = Store.open(join(folder.path, "agent.sqlite"), [DANA]);
  const files = readdirSync(folder.path);
  expect(files).toContain("agent.sqlite-wal");
  for (const file of files) expect(statSync(join(folder.path, file)).mode & 0o077).toBe(0);
});

test("card numbers are masked before they are written", () => {
  using store = Store.open(":memory:");
  store.startCall(START);
  store.addTurn("call-1", { role: "caller", text: "it is 4111 1111 1111 1111", at: NOON });
  store.endCall("call-1", { outcome: "escalated", summary: "card 4111111111111111", at: NOON });
  expect(store.turns("call-1")[0]?.text).toBe("it is ****1111");
  expect(store.call("call-1")?.summary).toBe("card ****1111");
});

test("hostile ids are data", () => {
  using store = Store.open(":memory:", [DANA]);
  expect(store.customer("' OR 1=1 --")).toBeUndefined();
});

test("a call keeps its turns in order", () => {
  using store = Store.open(":memory:");
  store.startCall({ ...START, customerId: "C-1042", transferReason: "billing" });
  store.addTurn("call-1", { role: "agent", text: "Hello", interrupted: true, at: NOON });
  store.addTurn("call-1", { role: "caller", text: "Hi", at: NOON });
  store.endCall("call-1", { outcome: "completed", summary: "s", at: NOON });
  const at = "2026-01-02T12:00:00.000Z";
  expect(store.turns("call-1")).toEqual([
    { role: "agent", text: "Hello", interrupted: true, at },
    { role: "caller", text: "Hi", interrupted: false, at },
  ]);
  expect(store.call("call-1")).toMatchObject({
    customerId: "C-1042",
    transferReason: "billing",
    outcome: "completed",
    summary: "s",
    endedAt: at,
  });
});

test("the first end of a call counts", () => {
  using store = Store.open(":memory:");
  store.startCall(START);
  store.endCall("call-1", { outcome: "escalated", at: NOON });
  store.endCall("call-1", { outcome: "failed", at: NOON });
  expect(store.call("call-1")?.outcome).toBe("escalated");
});

test("retention removes old calls with their turns, and no running one", () => {
  using store = Store.open(":memory:");
  store.startCall(START);
  store.addTurn("call-1", { role: "caller", text: "Hi", at: NOON });
  store.endCall("call-1", { outcome: "completed", at: NOON });
  store.startCall({ ...START, id: "running" });
  expect(store.deleteCallsBefore(new Date("2026-01-03T00:00:00Z"))).toBe(1);
  expect(store.turns("call-1")).toEqual([]);
  expect(store.call("running")).toBeDefined();
});

test("deleting a customer removes their calls, found by id or by number", () => {
  using store = Store.open(":memory:", [DANA]);
  store.startCall({ ...START, id: "by number" });
  store.startCall({ ...START, id: "by id", callerNumber: "+1", customerId: "C-1042" });
  store.startCall({ ...START, id: "another", callerNumber: "+2" });
  expect(store.deleteCustomer("C-1042")).toBe(2);
  expect(store.customer("C-1042")).toBeUndefined();
  expect(store.calls().map(({ id }) => id)).toEqual(["another"]);
});

test("a killed process loses no finished turn, and its call is closed as interrupted", async () => {
  const path = join(mkdtempSync(join(tmpdir(), "agent-")), "calls.db");
  const program = `
    import { Store } from ${JSON.stringify(new URL("store.ts", import.meta.url).href)};
    const store = Store.open(${JSON.stringify(path)});
    const at = new Date();
    store.startCall({ id: "call-1", correlationId: "c", callerNumber: "+1", at });
    for (let turn = 1; turn <= 3; turn += 1) store.addTurn("call-1", { role: "caller", text: "turn " + turn, at });
    process.stdout.write("written");
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program]);
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "exit");
  using store = Store.open(path);
  expect(store.closeInterrupted(NOON)).toBe(1);
  expect(store.turns("call-1").map(({ text }) => text)).toEqual(["turn 1", "turn 2", "turn 3"]);
  expect(store.call("call-1")?.outcome).toBe("interrupted");
});

test("a disk that takes no page is found by the check", async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), "agent-full-"));
  const program = `
    import { Store } from ${JSON.stringify(new URL("store.ts", import.meta.url).href)};
    const store = Store.open(${JSON.stringify(join(folder.path, "calls.db"))});
    store.check();
    process.stdout.write("writable\\n");
    process.stdin.once("data", () => {
      try {
        store.check();
        process.stdout.write("writable\\n", () => process.exit());
      } catch (error) {
        process.stdout.write(error.message, () => process.exit());
      }
    });
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program]);
  const [first] = await once(child.stdout, "data");
  expect(String(first)).toBe("writable\n");
  // No file of the process may grow beyond nothing: every page is refused.
  execFileSync("prlimit", [`--pid=${child.pid}`, "--fsize=0"]);
  child.stdin.write("again");
  const [second] = await once(child.stdout, "data");
  expect(String(second)).toMatch(/full|I\/O/);
  await once(child, "exit");
});

test("checking leaves no more than one row", () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), "agent-check-"));
  using store = Store.open(join(folder.path, "calls.db"));
  store.check();
  store.check();
  using database = new DatabaseSync(join(folder.path, "calls.db"));
  expect(database.prepare("SELECT count(*) AS rows FROM checks").get()).toEqual({ rows: 1 });
});

test("a call that has no record keeps no turn", () => {
  using store = Store.open(":memory:");
  store.addTurn("forgotten", { role: "caller", text: "Hi", at: NOON });
  expect(store.turns("forgotten")).toEqual([]);
});

test("a call that goes on after its end was written keeps its turns", () => {
  using store = Store.open(":memory:");
  store.startCall(START);
  store.addTurn("call-1", { role: "caller", text: "Hi", at: NOON });
  store.closeInterrupted(NOON);
  store.startCall(START);
  expect(store.call("call-1")).toMatchObject({ endedAt: undefined, outcome: undefined });
  store.endCall("call-1", { outcome: "escalated", at: NOON });
  expect(store.call("call-1")?.outcome).toBe("escalated");
  expect(store.turns("call-1")).toHaveLength(1);
});

test("disposing twice is fine", () => {
  const store = Store.open(":memory:");
  store[Symbol.dispose]();
  store[Symbol.dispose]();
  expect(() => store.check()).toThrow("not open");
});
