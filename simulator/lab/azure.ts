import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { type DirectRouting, startDirectRouting } from "../acs/direct-routing.ts";
import type { EdgePolicy } from "../acs/edge/policy.ts";
import type { IdSource } from "../acs/ids.ts";
import type { Policy } from "../acs/policy.ts";
import { createResource, type Resource } from "../acs/resource.ts";
import { type Acs, startAcs } from "../acs/server.ts";
import { trunkOperations } from "../acs/trunk-rest.ts";
import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import { scriptContactCentre } from "../openai/contact-centre.ts";
import type { Backing } from "../openai/dialogue-player.ts";
import type { RealtimeOptions } from "../openai/realtime/endpoint.ts";
import { createScript, type Script } from "../openai/script.ts";
import { type OpenAi, type OpenAiOptions, startOpenAi } from "../openai/server.ts";
import type { SpeechEngine } from "../speech/recogniser.ts";
import { type Speech, type SpeechOptions, startSpeech } from "../speech/server.ts";
import type { Trace } from "../trace.ts";
import type { LabCertificates } from "./certificates.ts";
import { NUMBERS, SBC_DOMAIN, VOICES } from "./numbers.ts";
import { startAll } from "./start-all.ts";
import type { Voices } from "./voices.ts";

/** Where the emulated services listen, for an agent that is configured before the lab starts. */
export interface AzureAddresses {
  readonly acsPort: number;
  readonly acsSecurePort: number;
  readonly speechPort: number;
  readonly openaiPort: number;
  /** Base64. */
  readonly accessKey: string;
  /** A GUID; the audience of callback tokens. */
  readonly resourceId: string;
}

export interface AzureOptions {
  readonly clock: Clock;
  readonly trace: Trace;
  readonly faults: FaultPlan;
  readonly certificates: LabCertificates;
  readonly voices: Voices;
  readonly sbcFqdn: string;
  /** Port of the SBC's TLS contact, as paired in the resource. */
  readonly sbcPort: number;
  /** Default: any free ports and random secrets. */
  readonly at: AzureAddresses | undefined;
  readonly firstTokenMs: number | undefined;
  readonly tokenMs: number | undefined;
  readonly directTransfer: boolean;
  /** Recognises what agents hear. Default: the recogniser of the voices. */
  readonly engine: SpeechEngine | undefined;
  /** Answers what the script does not. */
  readonly backing: Backing | undefined;
  /** The built-in script answers what nobody else does. */
  readonly contactCentre: boolean | undefined;
  readonly ids: IdSource | undefined;
  /** `address` for SBCs whose SIP server knows names by DNS only. */
  readonly routeBy: "name" | "address";
  readonly switches: Switches | undefined;
}

/** What nobody has verified of the services, set otherwise than by default; docs/fidelity.md lists it all. */
export interface Switches {
  readonly acs?: Partial<Policy>;
  readonly edge?: Partial<EdgePolicy>;
  readonly speech?: Pick<SpeechOptions, "recognition" | "delays" | "pace">;
  readonly openai?: Pick<OpenAiOptions, "burstTokens">;
  readonly realtime?: Pick<RealtimeOptions, "pace" | "sessionMs" | "semanticSilenceMs">;
}

/** Microsoft's side of the lab. */
export interface Azure {
  readonly resource: Resource;
  readonly directRouting: DirectRouting;
  readonly acs: Acs;
  readonly speech: Speech;
  readonly openai: OpenAi;
  readonly script: Script;
}

/**
 * A lab with addresses that an agent can be configured with beforehand: four ports from `portBase`
 * on, and a key that is known to everybody, as Azurite's is.
 */
export function fixedServices(portBase: number): AzureAddresses {
  return {
    acsPort: portBase,
    acsSecurePort: portBase + 1,
    speechPort: portBase + 2,
    openaiPort: portBase + 3,
    accessKey: "bGluZWNoZWNrLWxhYi1hY2Nlc3Mta2V5LW5vdC1hLXNlY3JldA==",
    resourceId: "00000000-1ab0-4000-8000-00000000acac",
  };
}

const SERVICE_KEYS = { speech: "lab-speech-key", openai: "lab-openai-key" } as const;
const DEPLOYMENT = "voice-agent";
const REALTIME_DEPLOYMENT = "voice-agent-realtime";
/** A model that is told what to say, says it; a scenario may have it do otherwise. */
const VERBATIM = /\bsay exactly\b[^:]*:\s*(.+)$/is;

export async function startAzure(
  options: AzureOptions,
  opened: AsyncDisposableStack,
): Promise<Azure> {
  const { clock, trace, faults, certificates, sbcFqdn, sbcPort, at, directTransfer } = options;
  const resource = createResource({
    name: "lab",
    ...(at === undefined ? {} : { accessKey: at.accessKey, resourceId: at.resourceId }),
    domains: [SBC_DOMAIN],
    trunks: [{ fqdn: sbcFqdn, sipSignalingPort: sbcPort, address: "127.0.0.1", directTransfer }],
    routes: [{ name: "human queue", numberPattern: `^\\${NUMBERS.queue}$`, trunks: [sbcFqdn] }],
  });
  const directRouting = opened.use(
    await startDirectRouting({
      clock,
      faults,
      trace: trace.as("acs"),
      resource,
      certificate: certificates.edge,
      trustedRoots: [certificates.ca],
      policy: { routeBy: options.routeBy, ...options.switches?.edge },
    }),
  );
  const script = createScript();
  script.whenInstructed(VERBATIM).says(({ match }) => match?.[1] ?? "");
  const services = { resource, directRouting, script };
  const [acs, speech, openai] = await startAll(opened, [
    startLabAcs(options, services),
    startLabSpeech(options),
    startLabOpenAi(options, script),
  ]);
  return { ...services, acs, speech, openai };
}

function startLabAcs(
  { clock, trace, faults, certificates, at, ids, switches }: AzureOptions,
  { resource, directRouting }: Pick<Azure, "resource" | "directRouting">,
): Promise<Acs> {
  return startAcs({
    clock,
    faults,
    trace: trace.as("acs"),
    resource,
    pstn: directRouting,
    tls: certificates.services,
    ca: [certificates.ca],
    operations: trunkOperations({
      resource,
      trunkStatus: (fqdn) => directRouting.trunkStatus(fqdn),
    }),
    policy: switches?.acs ?? {},
    ...(ids === undefined ? {} : { ids }),
    ...(at === undefined ? {} : { port: at.acsPort, securePort: at.acsSecurePort }),
  });
}

function startLabSpeech(options: AzureOptions): Promise<Speech> {
  const { clock, trace, faults, voices, engine, at, switches } = options;
  return startSpeech({
    clock,
    faults,
    trace: trace.as("speech"),
    synthesiser: voices.synthesiser,
    recogniser: voices.recogniser,
    ...(engine === undefined ? {} : { engine }),
    ...switches?.speech,
    keys: [SERVICE_KEYS.speech],
    port: at?.speechPort ?? 0,
  });
}

function startLabOpenAi(options: AzureOptions, script: Script): Promise<OpenAi> {
  const { clock, trace, faults, at, voices, firstTokenMs = 150, tokenMs } = options;
  const { backing, contactCentre = false, switches } = options;
  const fallback = createScript();
  if (contactCentre) scriptContactCentre(fallback);
  return startOpenAi({
    clock,
    faults,
    trace: trace.as("openai"),
    script: spokenAhead(script, voices),
    fallback,
    ...(backing === undefined ? {} : { backing }),
    ...switches?.openai,
    keys: [SERVICE_KEYS.openai],
    deployments: [DEPLOYMENT],
    port: at?.openaiPort ?? 0,
    firstTokenMs,
    ...(tokenMs === undefined ? {} : { tokenMs }),
    realtime: {
      ...switches?.realtime,
      deployments: [REALTIME_DEPLOYMENT],
      // The service's own voices are nobody's here: every one of them is the agent's.
      voice: {
        hear: () => voices.turnEar(),
        speak: (text) => voices.utterance(text, VOICES.agent),
      },
    },
  });
}

/**
 * An answer is synthesised while the model still takes its time over the first token: how long our
 * synthesiser works for a sentence (60 to 150 ms, by the machine) is no part of a caller's wait.
 */
function spokenAhead(script: Script, { synthesiser }: Voices): Script {
  return {
    ...script,
    answer(conversation) {
      const reply = script.answer(conversation);
      const text = reply !== undefined && "text" in reply ? (reply.text ?? "") : "";
      // What cannot be synthesised is told to who asks for it.
      if (text !== "") synthesiser.synthesise({ text, voice: VOICES.agent }).catch(() => {});
      return reply;
    },
  };
}

/** Settings that point the bundled agent at these services, by environment name. */
export function agentEnvironment({ acs, speech, openai, resource }: Azure, fixtures: string) {
  return {
    AGENT_PORT: "0",
    ACS_CONNECTION_STRING: acs.connectionString,
    ACS_ALLOW_INSECURE_CONNECTION: "true",
    ACS_CALLBACK_AUDIENCE: resource.resourceId,
    ACS_CALLBACK_JWKS_URL: `${acs.url}/calling/keys`,
    EVENT_GRID_SECRET: randomBytes(18).toString("base64url"),
    SPEECH_HOST: speech.url,
    SPEECH_KEY: SERVICE_KEYS.speech,
    SPEECH_VOICE: VOICES.agent,
    AZURE_OPENAI_ENDPOINT: openai.url,
    AZURE_OPENAI_KEY: SERVICE_KEYS.openai,
    AZURE_OPENAI_DEPLOYMENT: DEPLOYMENT,
    AZURE_OPENAI_REALTIME_DEPLOYMENT: REALTIME_DEPLOYMENT,
    AGENT_QUEUE_NUMBER: NUMBERS.queue,
    AGENT_CUSTOMERS: join(fixtures, "customers.json"),
    LOG_LEVEL: "silent",
  };
}
