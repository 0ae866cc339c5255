import { expect, test } from "vitest";
import { startAll } from "./start-all.ts";

function party(name: string, closed: string[]): AsyncDisposable & { readonly name: string } {
  return {
    name,
    async [Symbol.asyncDispose]() {
      closed.push(name);
    },
  };
}

test("parties come in the order they were asked for, and are closed with the rest", async () => {
  const closed: string[] = [];
  const opened = new AsyncDisposableStack();
  const [a, b] = await startAll(opened, [
    Promise.resolve(party("a", closed)),
    Promise.resolve(party("b", closed)),
  ]);
  expect([a.name, b.name]).toEqual(["a", "b"]);
  await opened.disposeAsync();
  expect(closed).toEqual(["b", "a"]);
});

test("one that cannot start leaves none of the others running", async () => {
  const closed: string[] = [];
  const slow = Promise.withResolvers<AsyncDisposable>();
  const opened = new AsyncDisposableStack();
  const started = startAll(opened, [
    Promise.reject<AsyncDisposable>(new Error("port in use")),
    slow.promise,
  ]);
  const failure = started.catch((error: Error) => error.message);
  slow.resolve(party("slow", closed));
  expect(await failure).toBe("port in use");
  await opened.disposeAsync();
  expect(closed).toEqual(["slow"]);
});

test("one that starts after everything was closed is closed too", async () => {
  const closed: string[] = [];
  const opened = new AsyncDisposableStack();
  await opened.disposeAsync();
  await startAll(opened, [Promise.resolve(party("late", closed))]);
  expect(closed).toEqual(["late"]);
});
