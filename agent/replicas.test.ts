import { expect, test } from "vitest";
import { memoryReplicas, type Replicas } from "./replicas.ts";

/** What every adapter has to keep; `pass` moves its clock. */
function contract(
  name: string,
  open: () => { replicas: Replicas; readonly pass: (durationMs: number) => void },
) {
  test(`${name}: a call has one owner at a time`, async () => {
    const { directory } = open().replicas;
    expect(await directory.claim("call", "a", 1000)).toBe(true);
    expect(await directory.claim("call", "b", 1000)).toBe(false);
    expect(await directory.ownerOf("call")).toBe("a");
    expect(await directory.ownerOf("another")).toBeUndefined();
  });

  test(`${name}: a lease that is not renewed ends`, async () => {
    const { replicas, pass } = open();
    await replicas.directory.claim("call", "a", 1000);
    pass(900);
    expect(await replicas.directory.claim("call", "a", 1000)).toBe(true);
    pass(900);
    expect(await replicas.directory.claim("call", "b", 1000)).toBe(false);
    pass(200);
    expect(await replicas.directory.claim("call", "b", 1000)).toBe(true);
  });

  test(`${name}: only the owner releases`, async () => {
    const { directory } = open().replicas;
    await directory.claim("call", "a", 1000);
    await directory.release("call", "b");
    expect(await directory.ownerOf("call")).toBe("a");
    await directory.release("call", "a");
    expect(await directory.ownerOf("call")).toBeUndefined();
  });

  test(`${name}: events arrive once, in order, also those posted before the reader came`, async () => {
    const { inbox } = open().replicas;
    const controller = new AbortController();
    expect(await inbox.post("call", "1", "first")).toBe(true);
    expect(await inbox.post("call", "1", "first again")).toBe(false);
    expect(await inbox.post("another", "1", "elsewhere")).toBe(true);
    const read: string[] = [];
    const reading = (async () => {
      for await (const payload of inbox.read("call", controller)) {
        read.push(payload);
        if (read.length === 2) controller.abort();
      }
    })();
    await inbox.post("call", "2", "second");
    await reading;
    expect(read).toEqual(["first", "second"]);
  });

  test(`${name}: a reader that is not wanted any more ends`, async () => {
    const controller = new AbortController();
    const reading = Array.fromAsync(open().replicas.inbox.read("call", controller));
    controller.abort();
    expect(await reading).toEqual([]);
  });
}

contract("memory", () => {
  let now = 0;
  const pass = (durationMs: number) => {
    now += durationMs;
  };
  return { replicas: memoryReplicas({ now: () => now }), pass };
});
