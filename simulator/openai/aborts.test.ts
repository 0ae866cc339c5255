import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { openTrace } from "../trace.ts";
import { createScript, type Rule } from "./script.ts";
import { startOpenAi } from "./server.ts";

async function startService(write: (rule: Rule) => unknown, paces: { firstTokenMs: number }) {
  const clock = systemClock();
  const trace = openTrace({ clock });
  const script = createScript();
  write(script.otherwise());
  const service = await startOpenAi({
    clock,
    trace: trace.as("openai"),
    script,
    keys: ["lab-key"],
    deployments: ["voice"],
    tokenMs: 0,
    ...paces,
  });
  onTestFinished(() => service[Symbol.asyncDispose]());
  const answered = () =>
    trace.waitFor((event) => event.type === "http", { timeoutMs: 5000, what: "the exchange" });
  const prompted = () =>
    trace.waitFor((event) => event.type === "model", { timeoutMs: 5000, what: "the prompt" });
  const aborts = () =>
    trace.events.filter((event) => event.type === "model" && event.kind === "abort");
  return { service, answered, prompted, aborts };
}

/** A client that reads nothing of the answer. */
function ask(url: string, api: "chat/completions" | "responses", stream: boolean) {
  const asking = request(`${url}/v1/${api}`, {
    method: "POST",
    headers: { authorization: "Bearer lab-key" },
  });
  asking.on("error", () => {});
  const model = "m";
  const said = [{ role: "user", content: "x" }];
  asking.end(JSON.stringify({ model, messages: said, input: said, stream }));
  return asking;
}

const apis = ["chat/completions", "responses"] as const;
const cases: readonly {
  what: string;
  write: (rule: Rule) => unknown;
  stream: boolean;
  firstTokenMs?: number;
  status: number;
}[] = [
  {
    what: "that stalls before its headers",
    write: (rule) => rule.stalls("headers"),
    stream: true,
    status: 0,
  },
  {
    what: "that stalls in its stream",
    write: (rule) => rule.stalls("stream", "one two"),
    stream: true,
    status: 200,
  },
  {
    what: "in one piece",
    write: (rule) => rule.says("Yes."),
    stream: false,
    firstTokenMs: 60_000,
    status: 0,
  },
  {
    what: "whose tokens have no pause",
    // More than what the sockets on the way hold.
    write: (rule) => rule.says("word ".repeat(60_000)),
    stream: true,
    status: 200,
  },
];

test.each(apis.flatMap((api) => cases.map((each) => ({ api, ...each }))))(
  "a client of $api that leaves an answer $what is counted once",
  async ({ api, write, stream, firstTokenMs = 0, status }) => {
    const { service, answered, prompted, aborts } = await startService(write, { firstTokenMs });
    const asking = ask(service.url, api, stream);
    await prompted();
    if (status !== 0) await once(asking, "response");
    asking.destroy();
    expect(await answered()).toMatchObject({ status });
    expect(service.aborted).toBe(1);
    expect(aborts()).toHaveLength(1);
  },
);

test("a connection that the service itself breaks off is nobody's abort", async () => {
  const { service, answered } = await startService((rule) => rule.drops("one two"), {
    firstTokenMs: 0,
  });
  const asking = ask(service.url, "chat/completions", true);
  const [answer] = (await once(asking, "response")) as [IncomingMessage];
  answer.on("error", () => {}).resume();
  expect(await answered()).toMatchObject({ status: 200 });
  expect(service.aborted).toBe(0);
});

test("the end of the service is nobody's abort", async () => {
  const { service, answered, prompted, aborts } = await startService(
    (rule) => rule.stalls("headers"),
    { firstTokenMs: 0 },
  );
  ask(service.url, "chat/completions", true);
  await prompted();
  await service[Symbol.asyncDispose]();
  expect(await answered()).toMatchObject({ status: 0 });
  expect(aborts()).toEqual([]);
});
