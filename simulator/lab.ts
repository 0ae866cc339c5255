import { mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { DirectRouting } from "./acs/direct-routing.ts";
import { disorder } from "./acs/disorder.ts";
import { type IdSource, seededIds } from "./acs/ids.ts";
import type { Acs } from "./acs/server.ts";
import { type Clock, systemClock } from "./clock.ts";
import { parseDrachtioChoice } from "./drachtio/real.ts";
import { type Fault, type FaultPlan, faultPlan } from "./faults.ts";
import type { Ivr } from "./ivr/ivr.ts";
import type { Queue } from "./ivr/queue.ts";
import { type AzureAddresses, agentEnvironment, type Switches, startAzure } from "./lab/azure.ts";
import type { LabCall } from "./lab/call.ts";
import {
  configuredCertificates,
  issueCertificates,
  type LabCertificates,
  type SbcCertificate,
  sbcName,
} from "./lab/certificates.ts";
import { readCustomers } from "./lab/customers.ts";
import { type DialogueGround, type LabDialogue, openDialogue } from "./lab/dialogue.ts";
import { addressOf, type HostTable, portOf, startDaemons, startTelephony } from "./lab/network.ts";
import { type LabCallRequest, People, type QueueCall } from "./lab/people.ts";
import { startAll } from "./lab/start-all.ts";
import { startVoices, type Voices } from "./lab/voices.ts";
import type { Backing } from "./openai/dialogue-player.ts";
import type { Script } from "./openai/script.ts";
import type { OpenAi } from "./openai/server.ts";
import type { Sbc } from "./sbc/sbc.ts";
import { startEngine } from "./speech/engine.ts";
import type { SpeechEngine } from "./speech/recogniser.ts";
import type { Speech } from "./speech/server.ts";
import { openTrace, type Trace } from "./trace.ts";

export { DrachtioUnavailable } from "./drachtio/real.ts";
export { parseFault, parseSetting } from "./faults.ts";
export { fixedServices } from "./lab/azure.ts";
export type { LabCall } from "./lab/call.ts";
export type { LabDialogue } from "./lab/dialogue.ts";
export { NUMBERS } from "./lab/numbers.ts";
export { DialogueError } from "./openai/dialogue.ts";
export { EngineError } from "./speech/engine-link.ts";

/** The project's folder: fixtures lie beside the simulator. */
const HOME = resolve(dirname(fileURLToPath(import.meta.url)), "..");

export interface LabOptions {
  /** Default: real time. */
  clock?: Clock;
  /** What goes wrong on purpose; see docs/faults.md. */
  faults?: readonly Fault[];
  /** Where `trace.jsonl` and the recordings go; left out, nothing is written. */
  folder?: string;
  /** Where synthesised speech is kept between runs. Default: only in memory. */
  speechFolder?: string | undefined;
  /** Default: a good one. */
  sbcCertificate?: SbcCertificate;
  /** The trunk's own switch: the SBC gets the transfer's target and headers in the REFER. Default false. */
  directTransfer?: boolean;
  /** From a chat request to the model's first token. Default 150 ms. */
  firstTokenMs?: number;
  /** From one of its tokens to the next. Default 15 ms. */
  tokenMs?: number;
  /** What is not known of the services for certain, otherwise than by default; see docs/fidelity.md. */
  switches?: Switches;
  /** A real recogniser for what agents hear: a command or `ws://…`; see docs/speech.md. */
  recogniser?: string | undefined;
  /** Answers from a recorded dialogue what the script does not; or records one. */
  dialogue?: LabDialogue;
  /** The built-in contact-centre script answers what is left. Default: that is an error. */
  contactCentre?: boolean;
  /** Fixed ports and key, for an agent that is configured before the lab starts. Default: any. */
  services?: AzureAddresses;
  /** Which drachtio daemons the applications run on; see `LINECHECK_DRACHTIO` in the README. */
  drachtio?: string | undefined;
  /** Where ACS's ids and its order of events come from; default: random. */
  ids?: IdSource;
  /** A seed by which everything that ACS posts is delayed, duplicated and reordered. Default: nothing is. */
  disorder?: number | undefined;
  /** Folder of certificates (`linecheck certificates`), where daemons had to know them before. */
  certificates?: string | undefined;
  /** Folder with customers.json and audio/. Default: the bundled fixtures. */
  fixtures?: string;
}

/** The whole telephone world of one voice agent, wired and running. */
export interface Lab extends AsyncDisposable {
  readonly clock: Clock;
  readonly trace: Trace;
  readonly faults: FaultPlan;
  readonly script: Script;
  readonly acs: Acs;
  readonly directRouting: DirectRouting;
  readonly sbc: Sbc;
  readonly sbcFqdn: string;
  readonly ivr: Ivr;
  readonly queue: Queue;
  readonly speech: Speech;
  readonly openai: OpenAi;
  /** What synthesises and recognises; speech that is prepared with it costs nothing in a call. */
  readonly voices: Voices;
  /** SIP over UDP and WebSocket for callers of their own: `sip:host:port`, `ws://host:port`. */
  readonly carrierAddress: { readonly udp: string; readonly ws: string };
  /** The lab authority's certificate, for `NODE_EXTRA_CA_CERTS`. */
  readonly ca: string;
  /** All of the lab's certificates with their keys, for whatever else is to speak TLS in it. */
  readonly certificates: LabCertificates;
  /** Settings that point the bundled agent at this lab, by environment name. */
  readonly agentEnvironment: Readonly<Record<string, string>>;
  /**
   * Subscribes the agent's webhook to IncomingCall, as one would in Event Grid. It takes the place of
   * the one before, whose calls go on.
   */
  useAgent(webhookUrl: string): Promise<void>;
  /** The customer calls; resolves when the call is answered. */
  call(number: string, options?: LabCallRequest): Promise<LabCall>;
  /** The next call that rings at the human queue. */
  nextQueueCall(options: { timeoutMs: number; signal?: AbortSignal }): Promise<QueueCall>;
  hangUpAll(): Promise<void>;
  /** Resolves when no call is left anywhere; rejects with what is left. */
  waitForQuiet(options: QuietOptions): Promise<void>;
}

export interface QuietOptions {
  timeoutMs: number;
  signal?: AbortSignal;
  /** What else has to be over, such as the agent's calls: what is left, or undefined. */
  also?: () => string | undefined;
}

const TRUNK_ONLINE_TIMEOUT_MS = 10_000;
/** The Event Grid subscription of the agent under test. */
const SUBSCRIPTION = "agent";

/**
 * Starts every party and wires them. Resolves when the SBC's trunk is Online at ACS, or, where its
 * certificate is a wrong one on purpose, when its first OPTIONS was judged.
 */
export async function startLab(options: LabOptions = {}): Promise<Lab> {
  const opened = new AsyncDisposableStack();
  try {
    const world = await openWorld(options, opened);
    const people = opened.use(new People({ ...world, folder: options.folder }));
    await people.startHuman();
    return describeLab(world, people, opened);
  } catch (error) {
    await opened.disposeAsync();
    throw error;
  }
}

type World = Awaited<ReturnType<typeof openWorld>>;

async function openWorld(options: LabOptions, opened: AsyncDisposableStack) {
  const { clock = systemClock(), folder, sbcCertificate = "good" } = options;
  if (folder !== undefined) mkdirSync(folder, { recursive: true });
  const trace = opened.use(
    openTrace({ clock, ...(folder === undefined ? {} : { file: join(folder, "trace.jsonl") }) }),
  );
  const { faults, ids } = planned(options);
  const fixtures = options.fixtures ?? join(HOME, "fixtures");
  const customers = readCustomers(join(fixtures, "customers.json"));
  const [[voices], engine, certificates] = await Promise.all([
    startAll(opened, [
      startVoices({ audioFolder: join(fixtures, "audio"), cacheFolder: options.speechFolder }),
    ]),
    openEngine(options, clock, opened),
    options.certificates === undefined
      ? issueCertificates(clock, sbcCertificate)
      : configuredCertificates(options.certificates, sbcCertificate),
  ]);
  const sbcFqdn = sbcName(sbcCertificate);
  const ground = { clock, trace, faults, certificates, sbcFqdn };
  const hosts: HostTable = new Map();
  const daemons = await startDaemons({ ...ground, hosts, drachtio: options.drachtio }, opened);
  const backing = openBacking(options, { ...ground, fixtures, customers }, opened);
  const azure = await startAzure(
    {
      ...ground,
      backing,
      engine,
      contactCentre: options.contactCentre,
      voices,
      sbcPort: portOf(daemons.sbc, "tls"),
      at: options.services,
      firstTokenMs: options.firstTokenMs,
      tokenMs: options.tokenMs,
      directTransfer: options.directTransfer ?? false,
      ids,
      routeBy: isEmbedded(options.drachtio) ? "name" : "address",
      switches: options.switches,
    },
    opened,
  );
  const { directRouting } = azure;
  for (const { name, host, port } of directRouting.names) hosts.set(name, { host, port });
  const telephony = await startTelephony(
    { ...ground, daemons, voices, customers, directRouting },
    opened,
  );
  if (sbcCertificate === "good") {
    await directRouting.waitForOnline(sbcFqdn, { timeoutMs: TRUNK_ONLINE_TIMEOUT_MS });
  }
  return { ...ground, voices, daemons, fixtures, customers, ...azure, ...telephony };
}

function openBacking(
  { dialogue }: LabOptions,
  ground: DialogueGround,
  opened: AsyncDisposableStack,
): Backing | undefined {
  return dialogue === undefined ? undefined : opened.use(openDialogue(dialogue, ground));
}

async function openEngine(
  { recogniser }: LabOptions,
  clock: Clock,
  opened: AsyncDisposableStack,
): Promise<SpeechEngine | undefined> {
  if (recogniser === undefined) return undefined;
  return opened.use(await startEngine({ clock, address: recogniser }));
}

/** What goes wrong on purpose, and the choices that have to be the same whenever it does. */
function planned({ faults = [], ids, disorder: seed }: LabOptions) {
  if (seed === undefined) return { faults: faultPlan(faults), ids };
  return {
    faults: faultPlan([...faults, ...disorder(seed)]),
    ids: ids ?? seededIds(`lab/${seed}`),
  };
}

function describeLab(world: World, people: People, opened: AsyncDisposableStack): Lab {
  const { daemons, certificates, acs } = world;
  return {
    ...world,
    ca: certificates.ca,
    carrierAddress: {
      udp: addressOf(daemons.carrier, "udp"),
      ws: addressOf(daemons.carrier, "ws"),
    },
    agentEnvironment: agentEnvironment(world, world.fixtures),
    async useAgent(webhookUrl) {
      acs.unsubscribe(SUBSCRIPTION);
      await acs.subscribe(webhookUrl, { name: SUBSCRIPTION });
    },
    call: (number, request) => people.call(number, request),
    nextQueueCall: (wait) => people.nextQueueCall(wait),
    hangUpAll: () => people.hangUpAll(),
    waitForQuiet: (wait) => waitForQuiet(world, wait),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** The embedded daemon has a name table; a real one asks DNS, which knows nothing of the lab. */
function isEmbedded(drachtio: string | undefined): boolean {
  return parseDrachtioChoice(drachtio).kind === "embedded";
}

async function waitForQuiet(
  world: World,
  { timeoutMs, signal, also }: QuietOptions,
): Promise<void> {
  const { clock } = world;
  const deadlineMs = clock.now() + timeoutMs;
  for (;;) {
    const left = [...leftOver(world), also?.()].filter((what) => what !== undefined);
    if (left.length === 0) return;
    if (clock.now() > deadlineMs) {
      throw new Error(
        `${timeoutMs} ms after the last call ended there is still: ${left.join(", ")}`,
      );
    }
    await clock.sleep(20, signal === undefined ? {} : { signal });
  }
}

function leftOver({ acs, directRouting, carrier }: World): string[] {
  const calls = acs.calls.filter((call) => call.state !== "disconnected").length;
  const dialogs = directRouting.liveDialogs;
  return [
    ...(carrier.callCount > 0 ? [`${carrier.callCount} call(s) at the carrier`] : []),
    ...(calls > 0 ? [`${calls} call(s) at ACS`] : []),
    ...(dialogs > 0 ? [`${dialogs} dialog(s) at the Direct Routing edge`] : []),
  ];
}
