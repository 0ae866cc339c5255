import { mkdtempDisposableSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { until } from "./testing/call-service.ts";
import { connect, spoken, startWorld, type World } from "./testing/world.ts";

interface Archive extends AsyncDisposable {
  readonly world: World;
  readonly database: DatabaseSync;
}

/** An agent with a database that a second connection can spoil. */
async function startArchive(turns: readonly { says: string }[] = []): Promise<Archive> {
  const stack = new AsyncDisposableStack();
  const folder = stack.use(mkdtempDisposableSync(join(tmpdir(), "agent-unwritable-")));
  const path = join(folder.path, "agent.sqlite");
  const world = stack.use(await startWorld({ turns, env: { AGENT_DATABASE: path } }));
  const database = stack.adopt(new DatabaseSync(path), (opened) => opened.close());
  return { world, database, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** From now on these writes fail, as they do on a full disk. */
function refuse({ database }: Archive, ...writes: string[]): void {
  for (const [index, write] of writes.entries()) {
    database.exec(
      `CREATE TRIGGER full_${index} BEFORE ${write} BEGIN SELECT RAISE(ABORT, 'disk is full'); END`,
    );
  }
}

async function hangUp({ agent, calls }: World): Promise<void> {
  await calls.event("CallDisconnected", { resultInformation: { code: 200, subCode: 540000 } });
  await until(() => agent.activeCalls === 0);
}

test("a call whose record cannot be begun is answered all the same, and ends", async () => {
  await using archive = await startArchive([{ says: "Your plan is Premium." }]);
  const { world } = archive;
  refuse(archive, "INSERT ON calls");
  const { ear, media } = await connect(world);
  await until(() => media.totalBytes > 0);
  ear.phrase("What is my plan?");
  await spoken(world, "Your plan is Premium.");
  await hangUp(world);
  expect(world.log.join("")).toContain("disk is full");
});

test("turns and an end that cannot be written cost no call", async () => {
  await using archive = await startArchive([{ says: "Your plan is Premium." }]);
  const { world } = archive;
  const { ear, media } = await connect(world);
  refuse(archive, "INSERT ON turns", "UPDATE ON calls");
  await until(() => media.totalBytes > 0);
  ear.phrase("What is my plan?");
  await spoken(world, "Your plan is Premium.");
  await hangUp(world);
  expect(world.agent.store.calls()[0]?.endedAt).toBeUndefined();
  expect((await fetch(`${world.agent.url}/healthz`)).status).toBe(200);
});

test("a customer who is forgotten while on the line goes on talking", async () => {
  await using archive = await startArchive([{ says: "Your plan is Premium." }]);
  const { world } = archive;
  const { ear, media } = await connect(world);
  await until(() => media.totalBytes > 0);
  expect(world.agent.store.deleteCustomer("C-1042")).toBe(1);
  ear.phrase("What is my plan?");
  await spoken(world, "Your plan is Premium.");
  await hangUp(world);
  expect(world.log.join("")).not.toContain("FOREIGN KEY");
  expect(world.agent.store.calls()).toEqual([]);
});
