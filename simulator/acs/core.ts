import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import type { Background } from "./background.ts";
import type { Callbacks } from "./callbacks.ts";
import type { EventGrid } from "./event-grid.ts";
import type { IdSource } from "./ids.ts";
import type { Issuer } from "./issuer.ts";
import type { UrlJudge } from "./media-options.ts";
import type { Outbound } from "./outbound.ts";
import type { Policy } from "./policy.ts";
import type { PromptCache } from "./prompt.ts";
import type { PstnGateway } from "./pstn.ts";
import type { SpeechServices } from "./speech.ts";

/** The part of the resource that Call Automation goes by. */
export interface ResourceIdentity {
  /** `contoso` in `contoso.communication.azure.com`. */
  readonly name: string;
  /** The immutable GUID: audience of callback tokens, first part of identities. */
  readonly resourceId: string;
  /** Base64, as in the connection string. */
  readonly accessKey: string;
}

/** What every part of the emulator works with. */
export interface Core {
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly ids: IdSource;
  readonly policy: Policy;
  readonly faults?: FaultPlan;
  readonly resource: ResourceIdentity;
  readonly pstn: PstnGateway;
  readonly background: Background;
  readonly outbound: Outbound;
  readonly issuer: Issuer;
  readonly callbacks: Callbacks;
  readonly eventGrid: EventGrid;
  readonly urls: UrlJudge;
  readonly speech: SpeechServices;
  readonly prompts: PromptCache;
}
