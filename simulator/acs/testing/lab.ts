import { type Clock, systemClock } from "../../clock.ts";
import { type FaultPlan, faultPlan } from "../../faults.ts";
import { openTrace, type Trace } from "../../trace.ts";
import { seededIds } from "../ids.ts";
import { createSigningKey } from "../issuer.ts";
import { type Acs, type AcsOptions, startAcs } from "../server.ts";
import { Application } from "./application.ts";
import { MemoryGateway, type MemoryLeg } from "./gateway.ts";

export const ACCESS_KEY = Buffer.from("a key for tests, nothing else....").toString("base64");
export const RESOURCE = {
  name: "contoso",
  resourceId: "5ac0de00-0000-4000-8000-000000000001",
  accessKey: ACCESS_KEY,
};

/** An emulator with a telephone side and an application, both held by the test. */
export interface TestLab extends AsyncDisposable {
  readonly acs: Acs;
  readonly application: Application;
  readonly gateway: MemoryGateway;
  readonly clock: Clock;
  readonly trace: Trace;
  readonly faults: FaultPlan;
  /** A call comes in; resolves with its leg and its incomingCallContext. */
  ring(
    options?: Parameters<MemoryGateway["ring"]>[0],
  ): Promise<{ leg: MemoryLeg; context: string }>;
}

let signingKey: ReturnType<typeof createSigningKey> | undefined;

export async function startTestLab(options: Partial<AcsOptions> = {}): Promise<TestLab> {
  await using stack = new AsyncDisposableStack();
  const { clock = systemClock() } = options;
  const trace = stack.use(openTrace({ clock }));
  const application = stack.use(await Application.start());
  const gateway = new MemoryGateway();
  const faults = faultPlan();
  const acs = stack.use(
    await startAcs({
      clock,
      trace: trace.as("acs"),
      resource: RESOURCE,
      pstn: gateway,
      faults,
      ids: seededIds(1),
      signingKey: await (signingKey ??= createSigningKey()),
      ...options,
    }),
  );
  await acs.subscribe(`${application.url}/events`);
  const owned = stack.move();
  return {
    acs,
    application,
    gateway,
    clock,
    trace,
    faults,
    async ring(call = {}) {
      const serial = acs.incomingCalls.length;
      const leg = gateway.ring(call);
      const { data } = await application.event("IncomingCall", serial);
      return { leg, context: String(data["incomingCallContext"]) };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
