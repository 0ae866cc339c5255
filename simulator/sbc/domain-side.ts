/** One of Microsoft's SIP proxies: the name that stands in URIs, and where it really listens. */
export interface DomainProxy {
  /** `sip.pstnhub.microsoft.com` */
  name: string;
  host: string;
  port: number;
}

/** One place to send an INVITE to: its Request-URI and the next hop. */
export interface Attempt {
  uri: string;
  proxy?: string;
}

export interface DomainSideOptions {
  fqdn: string;
  /** Signalling port of the SBC's TLS contact, as paired in the resource. */
  port: number;
  proxies: readonly DomainProxy[];
  /** Whether REFER stands in `Allow`, which decides how Microsoft transfers. */
  allowRefer: boolean;
}

/** How the SBC names itself and its target towards Microsoft (Direct Routing's SIP requirements). */
export class DomainSide {
  readonly #options: DomainSideOptions;

  constructor(options: DomainSideOptions) {
    this.#options = options;
  }

  /** Contact must hold the FQDN from the certificate, never an address: 403 otherwise. */
  get contact(): string {
    const { fqdn, port } = this.#options;
    return `<sip:${fqdn}:${port};transport=tls>`;
  }

  get allow(): string {
    const methods = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY";
    return this.#options.allowRefer ? `${methods}, REFER` : methods;
  }

  /** Headers of every request that starts a dialog and of every answer. */
  get headers(): Record<string, string> {
    return { Contact: this.contact, Allow: this.allow, "User-Agent": "linecheck-sbc" };
  }

  from(number: string): string {
    return `<sip:${number}@${this.#options.fqdn}>`;
  }

  /** Each proxy for a telephone number, in the order given. */
  toNumber(number: string): Attempt[] {
    return this.#options.proxies.map((proxy) => ({
      uri: `sip:${number}@${proxy.name}:${proxy.port};user=phone;transport=tls`,
      proxy: nextHop(proxy),
    }));
  }

  /** A REFER's target goes out as it came; the proxy it names comes first. */
  toReferTarget({ uri, host }: { uri: string; host: string }): Attempt[] {
    const named = (proxy: DomainProxy) => proxy.name.toLowerCase() === host.toLowerCase();
    const ordered = this.#options.proxies.toSorted((a, b) => Number(named(b)) - Number(named(a)));
    return ordered.map((proxy) => ({ uri, proxy: nextHop(proxy) }));
  }

  isOwnName(host: string): boolean {
    return host.toLowerCase() === this.#options.fqdn.toLowerCase();
  }
}

export function nextHop({ host, port }: DomainProxy): string {
  return `sip:${host}:${port};transport=tls`;
}
