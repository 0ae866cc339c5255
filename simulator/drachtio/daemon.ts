import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import type { TlsOptions } from "node:tls";
import type { Clock } from "../clock.ts";
import { SipError } from "../sip/error.ts";
import type { Limits } from "../sip/limits.ts";
import type { ListenOptions } from "../sip/listener.ts";
import type { Resolve } from "../sip/routing.ts";
import { type SipStack, startSipStack } from "../sip/stack.ts";
import { DEFAULT_TIMERS, type Timers } from "../sip/timers.ts";
import type { ServerTransaction } from "../sip/transaction.ts";
import type { PartyTrace } from "../trace.ts";
import type { DrachtioAddress } from "./application.ts";
import { Cdrs } from "./cdr.ts";
import { type Contact, makeContact } from "./contact.ts";
import type { Context, DaemonLimits } from "./context.ts";
import { type ControlConnection, type ControlLimits, startControl } from "./control.ts";
import { Dialogs } from "./dialog.ts";
import type { Frame } from "./frame.ts";
import { Incoming } from "./incoming.ts";
import { Outbound, type RequestHandler, redirectHeaders } from "./outbound.ts";
import { Outgoing } from "./outgoing.ts";
import { OwnRequests } from "./own-requests.ts";
import { Proxy } from "./proxy.ts";
import { refuse } from "./refuse.ts";
import { Registrations } from "./registrations.ts";
import { Routes } from "./routes.ts";
import { SessionTimers } from "./session-timer.ts";

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
  /** Who decides about new requests instead of the connected applications. */
  handlers?: readonly RequestHandler[];
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

interface DrachtioLoad {
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
  await using opened = new AsyncDisposableStack();
  const sides = await startSides(options, opened);
  const { incoming, outgoing, context } = sides;
  const { clock, ids, contacts, dialogs, stack } = context;
  const { secret = "cymru", limits = {}, control: place = {} } = options;
  const control = opened.use(
    await startControl({
      clock,
      host: place.host ?? "127.0.0.1",
      port: place.port ?? 0,
      ...(place.tls === undefined ? {} : { tls: place.tls }),
      secret,
      limits,
      ids,
      welcome: () => welcome(contacts),
      ...handlers(sides),
    }),
  );
  sides.adopter.adopt = (socket) => control.adopt(socket);
  const resources = opened.move();
  const { host, port, tlsPort } = control;
  return {
    control: { host, port, tlsPort, secret },
    contacts,
    get load() {
      return {
        incoming: incoming.pending,
        outgoing: outgoing.pending,
        dialogs: dialogs.size,
        transactions: stack.transactions.client + stack.transactions.server,
      };
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Everything between the SIP stack and the control port. */
interface Sides {
  context: Context;
  incoming: Incoming;
  outgoing: Outgoing;
  proxy: Proxy;
  outbound: Outbound;
  connections: Set<ControlConnection>;
  /** Filled in once the control port is open. */
  adopter: { adopt?: (socket: Socket) => ControlConnection };
}

async function startSides(
  options: DrachtioDaemonOptions,
  opened: AsyncDisposableStack,
): Promise<Sides> {
  const { clock } = options;
  // The stack calls back into parts that need the stack; nothing arrives before both are there.
  const later: { own?: OwnRequests; incoming?: Incoming; proxy?: Proxy } = {};
  const timers = { ...DEFAULT_TIMERS, ...options.timers };
  const routes = new Routes<ControlConnection>();
  const parts = {
    clock,
    ids: options.ids ?? randomUUID,
    timers,
    limits: { ...waits(timers), ...options.limits },
    dialogs: opened.use(new Dialogs()),
    routes,
    registrations: opened.use(new Registrations(clock)),
    cdrs: new Cdrs(clock, routes),
    sessions: new SessionTimers(clock, {
      refresh: (dialog) => later.own?.refresh(dialog),
      expire: (dialog) => later.own?.expire(dialog),
    }),
  };
  const stack = opened.use(
    await startSipStack({
      ...stackOptions(options),
      onRequest: (transaction) => later.incoming?.onRequest(transaction),
      onAck: (ack) => later.proxy?.onAck(ack),
    }),
  );
  const context: Context = { ...parts, stack, contacts: contactsOf(stack, options.contacts) };
  const sides = connectSides(context, options.handlers ?? []);
  Object.assign(later, sides);
  return sides;
}

function connectSides(context: Context, requestHandlers: readonly RequestHandler[]) {
  const own = new OwnRequests(context);
  const outgoing = new Outgoing(context, own);
  const proxy = new Proxy(context, (transactionId) => incoming.take(transactionId));
  const adopter: Sides["adopter"] = {};
  const connections = new Set<ControlConnection>();
  const outbound = new Outbound({
    clock: context.clock,
    handlers: requestHandlers,
    adopt: (socket) => {
      if (adopter.adopt === undefined) throw new Error("the control port is not open yet");
      return adopter.adopt(socket);
    },
    findTag: (tag) => [...connections].find(({ tags, open }) => open && tags.includes(tag)),
  });
  const incoming: Incoming = new Incoming(context, {
    hangUp: (dialog, why) => own.hangUp(dialog, why),
    isRouted: (request) => proxy.isRouted(request),
    forward: (transaction) => proxy.forward(transaction),
    askOutside: (transaction) => {
      const handler = outbound.handlerFor(transaction.request.method);
      if (handler === undefined) return false;
      obey(transaction, handler, { incoming, proxy, outbound }).catch(() => {
        // An address that cannot be used at all; other failures are verdicts.
        refuse(transaction, 500);
      });
      return true;
    },
  });
  return { context, own, incoming, outgoing, proxy, outbound, connections, adopter };
}

/** Does what an outside handler says about a new request. */
async function obey(
  transaction: ServerTransaction,
  handler: RequestHandler,
  { incoming, proxy, outbound }: Pick<Sides, "incoming" | "proxy" | "outbound">,
): Promise<void> {
  const verdict = await outbound.ask(handler, transaction);
  switch (verdict.action) {
    case "reject":
      return refuse(transaction, verdict.status, {}, verdict.reason);
    case "redirect":
      return refuse(transaction, 302, redirectHeaders(verdict.contacts));
    case "proxy":
      return proxy.startUnasked(transaction, verdict.proxy);
    case "offer":
      return incoming.offer(transaction, verdict.connection);
  }
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

type Handle = (connection: ControlConnection, frame: Frame) => void;

/** What an application wrote and nobody can send is refused; it must not bring the daemon down. */
function answering(handle: Handle): Handle {
  return (connection, frame) => {
    try {
      handle(connection, frame);
    } catch (error) {
      if (!(error instanceof SipError)) throw error;
      connection.reply(frame.tokens[0] ?? "", `NOK|Server error: ${error.message}`);
    }
  };
}

function handlers({ context, incoming, outgoing, proxy, outbound, connections }: Sides) {
  const { routes } = context;
  return {
    onAuthenticated: (connection: ControlConnection) => {
      connections.add(connection);
      outbound.onAuthenticated(connection);
    },
    onRoute: (connection: ControlConnection, verb: string) => routes.add(verb, connection),
    onRemoveRoute: (connection: ControlConnection, verb: string) => routes.remove(verb, connection),
    onSip: answering((connection, frame) => {
      const response = frame.message.subarray(0, 4).toString("latin1") === "SIP/";
      if (response) incoming.respond(connection, frame);
      else outgoing.request(connection, frame);
    }),
    onProxy: answering((connection, frame) => proxy.start(connection, frame)),
    onClose: (connection: ControlConnection) => {
      connections.delete(connection);
      routes.removeAll(connection);
      incoming.forget(connection);
      outgoing.forget(connection);
    },
  };
}
