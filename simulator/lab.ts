import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type DirectRouting, startDirectRouting } from "./acs/direct-routing.ts";
import { createResource } from "./acs/resource.ts";
import { type Acs, startAcs } from "./acs/server.ts";
import { type Clock, systemClock } from "./clock.ts";
import { type Fault, type FaultPlan, faultPlan } from "./faults.ts";
import type { Ivr } from "./ivr/ivr.ts";
import type { DeskCall } from "./ivr/desk.ts";
import type { Queue } from "./ivr/queue.ts";
import { type LabCall, openLabCall } from "./lab/call.ts";
import { type SbcCertificate, issueCertificates } from "./lab/certificates.ts";
import { readCustomers } from "./lab/customers.ts";
import { addressOf, portOf, startDaemons, startTelephony } from "./lab/network.ts";
import { NUMBERS, SBC_DOMAIN, SBC_FQDN, VOICES } from "./lab/numbers.ts";
import { startVoices } from "./lab/voices.ts";
import { type Script, createScript } from "./openai/script.ts";
import { type OpenAi, startOpenAi } from "./openai/server.ts";
import { type Phone, startPhone } from "./phone/phone.ts";
import type { IncomingPhoneCall } from "./phone/incoming-call.ts";
import type { Sbc } from "./sbc/sbc.ts";
import { type Speech, startSpeech } from "./speech/server.ts";
import { type Trace, openTrace } from "./trace.ts";

export type { LabCall } from "./lab/call.ts";
export { NUMBERS } from "./lab/numbers.ts";

/** The project's folder: fixtures lie beside the simulator. */
const HOME = resolve(dirname(fileURLToPath(import.meta.url)), "..");

export interface LabOptions {
  /** Default: real time. */
  clock?: Clock;
  /** What goes wrong on purpose; see docs/faults.md. */
  faults?: readonly Fault[];
  /** Where `trace.jsonl` and the recordings go; left out, nothing is written. */
  folder?: string;
  /** Default: a good one. */
  sbcCertificate?: SbcCertificate;
  /** From a chat request to the model's first token. Default 150 ms. */
  firstTokenMs?: number;
  /** Folder with customers.json and audio/. Default: the bundled fixtures. */
  fixtures?: string;
}

/** A call that rings at the human agent's desk. */
export interface QueueCall {
  readonly desk: DeskCall;
  header(name: string): string | undefined;
  answer(): Promise<LabCall>;
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
  /** SIP over UDP and WebSocket for callers of their own: `sip:host:port`, `ws://host:port`. */
  readonly carrierAddress: { readonly udp: string; readonly ws: string };
  /** The lab authority's certificate, for `NODE_EXTRA_CA_CERTS`. */
  readonly ca: string;
  /** Settings that point the bundled agent at this lab, by environment name. */
  readonly agentEnvironment: Readonly<Record<string, string>>;
  /** Subscribes the agent's webhook to IncomingCall, as one would in Event Grid. */
  useAgent(webhookUrl: string): Promise<void>;
  /** The customer calls; resolves when the call is answered. */
  call(number: string, options?: LabCallRequest): Promise<LabCall>;
  /** The next call that rings at the human queue. */
  nextQueueCall(options: { timeoutMs: number; signal?: AbortSignal }): Promise<QueueCall>;
  hangUpAll(): Promise<void>;
  /** Resolves when no call is left anywhere; rejects with what is left. */
  waitForQuiet(options: { timeoutMs: number; signal?: AbortSignal }): Promise<void>;
}

export interface LabCallRequest {
  /** The customer's own number. Default: the first customer's. */
  from?: string;
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal;
}

const SERVICE_KEYS = { speech: "lab-speech-key", openai: "lab-openai-key" } as const;
const DEPLOYMENT = "voice-agent";
const TRUNK_ONLINE_TIMEOUT_MS = 10_000;
