import type { DirectRouting } from "../acs/direct-routing.ts";
import { type Carrier, startCarrier } from "../carrier/carrier.ts";
import type { Clock } from "../clock.ts";
import type { DrachtioDaemonOptions } from "../drachtio/daemon.ts";
import { type DrachtioServer, drachtioStarter, parseDrachtioChoice } from "../drachtio/real.ts";
import type { FaultPlan } from "../faults.ts";
import { type Ivr, startIvr } from "../ivr/ivr.ts";
import { type Queue, startQueue } from "../ivr/queue.ts";
import { type Sbc, startSbc } from "../sbc/sbc.ts";
import type { Trace } from "../trace.ts";
import type { LabCertificates } from "./certificates.ts";
import type { Customer } from "./customers.ts";
import { MENU, MICROSOFT_PROXIES, NUMBERS, PROMPTS, VOICES } from "./numbers.ts";
import { startAll } from "./start-all.ts";
import type { Voices } from "./voices.ts";

const HOST = "127.0.0.1";

/** The SIP servers of the telephone side; each application has its own. */
export interface Daemons {
  readonly carrier: DrachtioServer;
  readonly ivr: DrachtioServer;
  readonly queue: DrachtioServer;
  readonly sbc: DrachtioServer;
}

export interface NetworkOptions {
  readonly clock: Clock;
  readonly trace: Trace;
  readonly faults: FaultPlan;
  readonly certificates: LabCertificates;
}

/** Host names of the lab's network; filled as the parties behind them get their ports. */
export type HostTable = Map<string, { readonly host: string; readonly port: number }>;

export interface DaemonOptions extends NetworkOptions {
  readonly hosts: HostTable;
  /** `embedded` (default), `docker`, or addresses of running daemons: carrier, IVR, queue, SBC. */
  readonly drachtio: string | undefined;
}

export async function startDaemons(
  { clock, trace, certificates, hosts, drachtio }: DaemonOptions,
  opened: AsyncDisposableStack,
): Promise<Daemons> {
  const udp = { transport: "udp", host: HOST, port: 0 } as const;
  const ws = { transport: "ws", host: HOST, port: 0 } as const;
  const { key, cert } = certificates.sbc;
  // Microsoft's name is not in any DNS of the lab: the SBC is given the next hop as an address, and
  // judges the certificate it meets there by the name it dialled.
  const tls = {
    transport: "tls",
    host: HOST,
    port: 0,
    tls: { key, cert, ca: certificates.ca },
    clientTls: { key, cert, ca: certificates.ca, servername: MICROSOFT_PROXIES[0] },
  } as const;
  const startDaemon = drachtioStarter(parseDrachtioChoice(drachtio));
  const start = (party: "carrier" | "ivr" | "queue" | "sbc", contacts: DaemonContacts) =>
    startDaemon({
      clock,
      trace: trace.as(party),
      contacts,
      resolve: (host) => hosts.get(host),
    });
  const [carrier, ivr, queue, sbc] = await startAll(opened, [
    start("carrier", [udp, ws]),
    start("ivr", [udp]),
    start("queue", [udp, ws]),
    start("sbc", [udp, tls]),
  ]);
  return { carrier, ivr, queue, sbc };
}

type DaemonContacts = DrachtioDaemonOptions["contacts"];

export interface TelephonyOptions extends NetworkOptions {
  readonly sbcFqdn: string;
  readonly daemons: Daemons;
  readonly voices: Voices;
  readonly customers: readonly Customer[];
  readonly directRouting: DirectRouting;
  /** Default 60 s; the first OPTIONS go out at once. */
  readonly optionsIntervalMs?: number;
}

/** The applications between the customer's phone and Microsoft, and the queue behind them. */
export interface Telephony {
  readonly carrier: Carrier;
  readonly ivr: Ivr;
  readonly sbc: Sbc;
  readonly queue: Queue;
}

export async function startTelephony(
  options: TelephonyOptions,
  opened: AsyncDisposableStack,
): Promise<Telephony> {
  const { clock, trace, faults, daemons } = options;
  const [queue, sbc, ivr, carrier] = await startAll(opened, [
    startQueue({
      clock,
      trace: trace.as("queue"),
      drachtio: daemons.queue.control,
      number: NUMBERS.queue,
      faults,
    }),
    startLabSbc(options),
    startLabIvr(options),
    startCarrier({
      clock,
      trace: trace.as("carrier"),
      drachtio: daemons.carrier.control,
      routes: [{ number: NUMBERS.service, to: addressOf(daemons.ivr, "udp") }],
      faults,
    }),
  ]);
  return { carrier, ivr, sbc, queue };
}

function startLabSbc(options: TelephonyOptions): Promise<Sbc> {
  const { clock, trace, faults, daemons, directRouting, sbcFqdn, optionsIntervalMs } = options;
  return startSbc({
    clock,
    trace: trace.as("sbc"),
    drachtio: daemons.sbc.control,
    fqdn: sbcFqdn,
    domainSide: {
      port: portOf(daemons.sbc, "tls"),
      proxies: directRouting.datacenters.map(({ name, host, port }) => ({ name, host, port })),
    },
    trunkSide: {},
    routes: [
      { number: NUMBERS.queue, to: addressOf(daemons.queue, "udp") },
      { number: NUMBERS.agent, to: "microsoft" },
    ],
    faults,
    ...(optionsIntervalMs === undefined ? {} : { optionsIntervalMs }),
  });
}

async function startLabIvr(options: TelephonyOptions): Promise<Ivr> {
  const { clock, trace, faults, daemons, voices, customers } = options;
  const speak = (text: string) => voices.audioOf(text, VOICES.ivr);
  const [menu, invalid, transferring, unavailable] = await Promise.all([
    speak(PROMPTS.menu),
    speak(PROMPTS.invalid),
    speak(PROMPTS.transferring),
    speak(PROMPTS.unavailable),
  ]);
  return startIvr({
    clock,
    trace: trace.as("ivr"),
    drachtio: daemons.ivr.control,
    prompts: { menu, invalid, transferring, unavailable },
    menu: MENU,
    customers: (number) => customers.find(({ phoneNumber }) => phoneNumber === number)?.id,
    sbc: addressOf(daemons.sbc, "udp"),
    faults,
  });
}

/** `sip:host:port` of a daemon's contact. */
export function addressOf(daemon: DrachtioServer, transport: "udp" | "ws"): string {
  const contact = daemon.contacts.find((entry) => entry.transport === transport);
  if (contact === undefined) throw new Error(`the daemon has no ${transport} contact`);
  const scheme = transport === "ws" ? "ws://" : "sip:";
  return `${scheme}${contact.host}:${contact.port}`;
}

export function portOf(daemon: DrachtioServer, transport: "udp" | "tls" | "ws"): number {
  const contact = daemon.contacts.find((entry) => entry.transport === transport);
  if (contact === undefined) throw new Error(`the daemon has no ${transport} contact`);
  return contact.port;
}
