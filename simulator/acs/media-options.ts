import type { Fields } from "./fields.ts";
import type { Outbound } from "./outbound.ts";
import type { Policy } from "./policy.ts";
import { refusal } from "./service-error.ts";

/** `mediaStreamingOptions` of answer, create and connect. */
export interface MediaStreamingOptions {
  readonly transportUrl: string;
  readonly isUnmixed: boolean;
  readonly rateHz: 16_000 | 24_000;
  readonly startsAtOnce: boolean;
  readonly isBidirectional: boolean;
  readonly sendsDigits: boolean;
}

/** `transcriptionOptions` of answer, create and connect. */
export interface TranscriptionOptions {
  readonly transportUrl: string;
  readonly locale: string;
  readonly startsAtOnce: boolean;
  readonly sendsIntermediate: boolean;
  readonly speechModelEndpointId: string | undefined;
}

/** Judges the URLs an application hands over. */
export class UrlJudge {
  readonly #policy: Policy;
  readonly #outbound: Outbound;

  constructor(policy: Policy, outbound: Outbound) {
    this.#policy = policy;
    this.#outbound = outbound;
  }

  /** A callback URL: https, or what the policy lets pass. Else 400/8523. */
  callback(fields: Fields, name: string): string {
    return this.#judge(fields.text(name), name, ["http:", "https:"]);
  }

  optionalCallback(fields: Fields, name = "operationCallbackUri"): string | undefined {
    return fields.has(name) ? this.callback(fields, name) : undefined;
  }

  /** A WebSocket URL; http and https are taken too, as Microsoft's samples build them. */
  transport(fields: Fields, name = "transportUrl"): string {
    return this.#judge(fields.text(name), name, ["http:", "https:", "ws:", "wss:"]);
  }

  #judge(url: string, name: string, protocols: readonly string[]): string {
    if (!URL.canParse(url)) throw refusal.invalidField(name);
    const { protocol, hostname } = new URL(url);
    if (!protocols.includes(protocol)) throw refusal.invalidField(name);
    const isSecure = protocol === "https:" || protocol === "wss:";
    if (isSecure || this.#allowsInsecure(url, hostname)) return url;
    throw refusal.invalidField(name);
  }

  #allowsInsecure(url: string, hostname: string): boolean {
    const { insecureCallbacks } = this.#policy;
    if (insecureCallbacks !== "loopback") return insecureCallbacks === "always";
    const isLoopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
    return isLoopback || this.#outbound.isMapped(url);
  }
}

/** Reads `mediaStreamingOptions`; undefined when there are none. Casing of values is free. */
export function readMediaStreaming(
  body: Fields,
  urls: UrlJudge,
): MediaStreamingOptions | undefined {
  const fields = body.fields("mediaStreamingOptions");
  if (fields === undefined) return undefined;
  requireWebSocket(fields);
  fields.choice("contentType", ["audio"]);
  const format = fields.choice("audioFormat", ["pcm16KMono", "pcm24KMono"]);
  return {
    transportUrl: urls.transport(fields),
    isUnmixed: fields.choice("audioChannelType", ["mixed", "unmixed"]) === "unmixed",
    rateHz: format === "pcm24KMono" ? 24_000 : 16_000,
    startsAtOnce: fields.flag("startMediaStreaming"),
    isBidirectional: fields.flag("enableBidirectional"),
    sendsDigits: fields.flag("enableDtmfTones"),
  };
}

/** Reads `transcriptionOptions`; undefined when there are none. */
export function readTranscription(body: Fields, urls: UrlJudge): TranscriptionOptions | undefined {
  const fields = body.fields("transcriptionOptions");
  if (fields === undefined) return undefined;
  requireWebSocket(fields);
  return {
    transportUrl: urls.transport(fields),
    locale: readLocale(fields, "locale"),
    startsAtOnce: fields.flag("startTranscription"),
    sendsIntermediate: fields.flag("enableIntermediateResults"),
    speechModelEndpointId: fields.optionalText("speechModelEndpointId"),
  };
}

/** A locale needs its region (`en-US`), else 400/8523. */
export function readLocale(fields: Fields, name: string): string {
  const locale = fields.text(name);
  if (!/^[a-z]{2,3}(-[a-z]{4})?-([a-z]{2}|\d{3})$/i.test(locale)) throw refusal.invalidField(name);
  return locale;
}

/** Without exactly this value the SDK drops transportUrl on its way, so say it where it can be seen. */
function requireWebSocket(fields: Fields): void {
  if (fields.choice("transportType", ["websocket"]) === undefined) {
    throw refusal.invalidField("transportType");
  }
}
