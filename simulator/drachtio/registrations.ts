import type { Clock, Timer } from "../clock.ts";
import type { SipConnection } from "../sip/connection.ts";
import { isReliable } from "../sip/connection.ts";
import { parseNameAddr } from "../sip/fields.ts";
import type { SipRequest, SipResponse } from "../sip/message.ts";
import { parseUri } from "../sip/uri.ts";

const DEFAULT_EXPIRES_S = 3_600;

/**
 * Which connection a registered client is reachable on. A phone behind WebSocket (or NAT) gives a
 * Contact nobody can dial, such as `x@abc.invalid`; requests to it use the connection on which it
 * registered, as long as that is open and the registration lasts.
 */
export class Registrations implements Disposable {
  readonly #clock: Clock;
  readonly #bindings = new Map<string, Binding>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An application accepted `request` (REGISTER or SUBSCRIBE) with `response`. */
  learn(request: SipRequest, response: SipResponse, connection: SipConnection): void {
    if (!isReliable(connection.transport)) return;
    for (const element of request.list("Contact")) {
      const binding = readBinding(element);
      if (binding === undefined) continue;
      const { key, expires } = binding;
      const seconds = expires ?? expiresOf(response) ?? expiresOf(request) ?? DEFAULT_EXPIRES_S;
      this.#bind(key, connection, seconds);
    }
  }

  /** The connection to use for a Request-URI, if its owner registered. */
  find(uri: string): SipConnection | undefined {
    const key = keyOf(uri);
    const binding = key === undefined ? undefined : this.#bindings.get(key);
    return binding?.connection.closed === false ? binding.connection : undefined;
  }

  [Symbol.dispose](): void {
    for (const key of this.#bindings.keys()) this.#forget(key);
  }

  #bind(key: string, connection: SipConnection, seconds: number): void {
    this.#forget(key);
    if (seconds === 0) return;
    const expiry = this.#clock.after(seconds * 1_000, () => this.#forget(key));
    const forgetClose = connection.onClose(() => this.#forget(key));
    this.#bindings.set(key, { connection, expiry, forgetClose });
  }

  #forget(key: string): void {
    const binding = this.#bindings.get(key);
    binding?.expiry.cancel();
    binding?.forgetClose();
    this.#bindings.delete(key);
  }
}

interface Binding {
  connection: SipConnection;
  expiry: Timer;
  /** A client registers anew again and again on one connection. */
  forgetClose: () => void;
}

function readBinding(element: string) {
  try {
    const { uri, parameters } = parseNameAddr(element);
    const key = keyOf(uri);
    return key === undefined ? undefined : { key, expires: toSeconds(parameters.get("expires")) };
  } catch {
    // The application accepted a Contact we cannot read: there is nothing to remember.
    return undefined;
  }
}

function keyOf(uri: string): string | undefined {
  try {
    const parsed = parseUri(uri);
    return parsed.kind === "sip" ? `${parsed.user ?? ""}@${parsed.host.toLowerCase()}` : undefined;
  } catch {
    return undefined;
  }
}

function expiresOf(message: SipRequest | SipResponse): number | undefined {
  return toSeconds(message.get("Expires"));
}

/** RFC 3261 §20.19: at most 2^32 - 1, which is ten digits. */
function toSeconds(value: string | null | undefined): number | undefined {
  return /^\d{1,10}$/.test(value ?? "") ? Number(value) : undefined;
}
