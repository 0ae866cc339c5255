import { until } from "./call-service.ts";
import { type RealtimeService, startRealtimeService } from "./realtime-service.ts";
import { INCOMING, post, startWorld, type World } from "./world.ts";

export const GREETING =
  "Hello Dana, I see you are calling about billing. How can I help you today?";

export type Session = RealtimeService["sessions"][number];

interface RealtimeWorld extends AsyncDisposable {
  readonly world: World;
  readonly service: RealtimeService;
}

export async function startRealtimeWorld(env: Record<string, string> = {}): Promise<RealtimeWorld> {
  const stack = new AsyncDisposableStack();
  const service = stack.use(await startRealtimeService());
  const world = stack.use(
    await startWorld({
      env: {
        AGENT_MODE: "realtime",
        AGENT_MEDIA_RATE_HZ: "24000",
        AGENT_PLAYOUT_LATENCY_MS: "0",
        AZURE_OPENAI_REALTIME_DEPLOYMENT: "voice",
        AZURE_OPENAI_ENDPOINT: service.url,
        ...env,
      },
      calls: { rateHz: 24_000 },
    }),
  );
  return { world, service, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** A connected call whose session has been asked to greet. */
export async function connect({ world, service }: RealtimeWorld) {
  await post(world.agent.webhookUrl, INCOMING);
  const media = await world.calls.openMedia();
  await world.calls.event("CallConnected");
  const session = await until(() => service.sessions[0]);
  await until(() => asked(session, GREETING));
  return { media, session };
}

/** The same, once the caller has been greeted. */
export async function greeted(line: RealtimeWorld) {
  const connected = await connect(line);
  connected.session.speaks("a", "Hello Dana.");
  connected.session.done();
  await until(() => turns(line.world).length === 1);
  return connected;
}

/** Whether the session has been asked to say this. */
export function asked({ received }: Session, text: string): boolean {
  return received.some((event) => says(event, text));
}

/** Whether an event asks for this to be said. */
export function says(event: Session["received"][number], text: string): boolean {
  return event.type === "response.create" && JSON.stringify(event).includes(text);
}

export function turns(world: World): string[] {
  const [call] = world.agent.store.calls();
  return world.agent.store
    .turns(call?.id ?? "")
    .map(({ role, text, interrupted }) => `${role}${interrupted ? " (cut)" : ""}: ${text}`);
}
