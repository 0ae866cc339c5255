import { randomUUID } from "node:crypto";
import type { TlsOptions } from "node:tls";
import type { Clock } from "../clock.ts";
import type { Limits } from "../sip/limits.ts";
import type { ListenOptions } from "../sip/listener.ts";
import type { Resolve } from "../sip/routing.ts";
import { type SipStack, startSipStack } from "../sip/stack.ts";
import { DEFAULT_TIMERS, type Timers } from "../sip/timers.ts";
import type { PartyTrace } from "../trace.ts";
import type { DrachtioAddress } from "./application.ts";
import { type Contact, makeContact } from "./contact.ts";
import type { Context, DaemonLimits } from "./context.ts";
import { type ControlConnection, type ControlLimits, startControl } from "./control.ts";
import { Dialogs } from "./dialog.ts";
import type { Frame } from "./frame.ts";
import { Incoming } from "./incoming.ts";
import { Outgoing } from "./outgoing.ts";
import { Proxy } from "./proxy.ts";
import { Registrations } from "./registrations.ts";
import { Routes } from "./routes.ts";

export type { Contact } from "./contact.ts";

export interface DrachtioDaemonOptions {
  clock: Clock;
  trace: PartyTrace;
  /** Where SIP is spoken; see `ListenOptions` for TLS on both sides of a connection. */
  contacts: readonly ListenOptions[];
  /** Where applications connect. Default: any free port of 127.0.0.1, in clear. */
  control?: { host?: string; port?: number; tls?: TlsOptions & { port: number } };
  /** What applications have to say. Default `cymru`, as in the drachtio image. */
  secret?: string;
  /** SIP timers; the waits of the daemon follow them. */
  timers?: Partial<Timers>;
  limits?: Partial<DaemonLimits & ControlLimits>;
  sipLimits?: Partial<Limits>;
  /** The name table; names it does not know get `503 DNS Error`. */
  resolve?: Resolve;
  /** Size from which UDP requests go over TCP; 0 = never. Default: the stack's 1,300. */
  congestionBytes?: number;
  ids?: () => string;
}

export interface DrachtioDaemon extends AsyncDisposable {
  /** For `connectDrachtio`, or `srf.connect`. */
  readonly control: DrachtioAddress & { tlsPort: number | undefined };
  /** The listeners, with the ports they got, in the order of the options. */
  readonly contacts: readonly Contact[];
  /** Live things by kind; all zero when the daemon is idle. */
  readonly load: DrachtioLoad;
}

export interface DrachtioLoad {
  /** Requests from the network that an application has not answered. */
  incoming: number;
  /** Requests of applications without a final response. */
  outgoing: number;
  dialogs: number;
  transactions: number;
}

/** What the real daemon calls itself; drachtio-srf compares it with `v0.8.2`. */
const VERSION = "v0.9.10-linecheck";

/**
 * Starts a drachtio daemon inside this process. Unmodified drachtio-srf applications connect to it
 * over TCP as they would to drachtio-server; where it differs on purpose, docs/fidelity.md says so.
 */
export async function startDrachtioDaemon(options: DrachtioDaemonOptions): Promise<DrachtioDaemon> {
  const { clock, secret = "cymru", ids = randomUUID } = options;
  const timers = { ...DEFAULT_TIMERS, ...options.timers };
  const limits = { ...waits(timers), ...options.limits };
  await using opened = new AsyncDisposableStack();
  const registrations = opened.use(new Registrations(clock));

  const parts = { dialogs: new Dialogs(), routes: new Routes<ControlConnection>(), registrations };
  // The stack calls back into parts that need the stack; nothing arrives before both are there.
  const later: { incoming?: Incoming; proxy?: Proxy } = {};
  const stack = opened.use(
    await startSipStack({
      ...stackOptions(options),
      onRequest: (transaction) => later.incoming?.onRequest(transaction),
      onAck: (ack) => later.proxy?.onAck(ack),
    }),
  );
  const contacts = contactsOf(stack, options.contacts);
  const context: Context = { clock, ids, timers, limits, stack, contacts, ...parts };
  const outgoing = new Outgoing(context);
  const proxy = new Proxy(context, (transactionId) => incoming.take(transactionId));
  const incoming = new Incoming(context, {
    hangUp: (dialog, why) => outgoing.hangUp(dialog, why),
    isRouted: (request) => proxy.isRouted(request),
    forward: (transaction) => proxy.forward(transaction),
  });
  Object.assign(later, { incoming, proxy });

  const control = opened.use(
    await startControl({
      clock,
      host: options.control?.host ?? "127.0.0.1",
      port: options.control?.port ?? 0,
      ...(options.control?.tls === undefined ? {} : { tls: options.control.tls }),
      secret,
      limits: options.limits ?? {},
      ids,
      welcome: () => welcome(contacts),
      ...handlers(context, { incoming, outgoing, proxy }),
    }),
  );
  const resources = opened.move();
  const { host, port, tlsPort } = control;
  return {
    control: { host, port, tlsPort, secret },
    contacts,
    get load() {
      return {
        incoming: incoming.pending,
        outgoing: outgoing.pending,
        dialogs: parts.dialogs.size,
        transactions: stack.transactions.client + stack.transactions.server,
      };
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** The real daemon drops what nobody answers after 2·64·T1; ours answers then. */
function waits({ timeoutMs }: Timers): DaemonLimits {
  return { silenceTimeoutMs: 2 * timeoutMs, ringTimeoutMs: 10 * timeoutMs };
}

function stackOptions(options: DrachtioDaemonOptions) {
  const { clock, trace, contacts, timers, resolve, sipLimits, congestionBytes, ids } = options;
  return {
    clock,
    trace,
    listen: contacts,
    trying: "immediate",
    cancelled: "automatic",
    rport: "always",
    ...(timers === undefined ? {} : { timers }),
    ...(resolve === undefined ? {} : { resolve }),
    ...(sipLimits === undefined ? {} : { limits: sipLimits }),
    ...(congestionBytes === undefined ? {} : { congestionBytes }),
    ...(ids === undefined ? {} : { ids }),
  } as const;
}

function contactsOf(stack: SipStack, listen: readonly ListenOptions[]): Contact[] {
  return stack.listeners.map((listener, at) => {
    const advertise = listen[at]?.advertise;
    return makeContact({ ...listener, ...(advertise === undefined ? {} : { advertise }) });
  });
}

/** The tokens after `OK`: addresses as told to the world, version, addresses as bound. */
function welcome(contacts: readonly Contact[]): string[] {
  const told = contacts.map(({ transport, hostPort }) => `${transport}/${hostPort}`);
  const bound = contacts.map(
    ({ transport, localHost, localPort }) =>
      `${transport}/${makeContact({ transport, host: localHost, port: localPort }).hostPort}`,
  );
  return [told.join(","), VERSION, bound.join(",")];
}

interface Sides {
  incoming: Incoming;
  outgoing: Outgoing;
  proxy: Proxy;
}

function handlers({ routes }: Context, { incoming, outgoing, proxy }: Sides) {
  return {
    onRoute: (connection: ControlConnection, verb: string) => routes.add(verb, connection),
    onRemoveRoute: (connection: ControlConnection, verb: string) => routes.remove(verb, connection),
    onSip: (connection: ControlConnection, frame: Frame) => {
      const response = frame.message.subarray(0, 4).toString("latin1") === "SIP/";
      if (response) incoming.respond(connection, frame);
      else outgoing.request(connection, frame);
    },
    onProxy: (connection: ControlConnection, frame: Frame) => proxy.start(connection, frame),
    onClose: (connection: ControlConnection) => {
      routes.removeAll(connection);
      incoming.forget(connection);
      outgoing.forget(connection);
    },
  };
}
