import { createCertificateAuthority, createKeyPair } from "../../certificates.ts";
import { systemClock } from "../../clock.ts";
import { openTrace, type Trace } from "../../trace.ts";
import {
  type DirectRouting,
  type DirectRoutingOptions,
  startDirectRouting,
} from "../direct-routing.ts";
import type { PstnLeg } from "../pstn.ts";
import { createResource, type Resource, type TrunkSettings } from "../resource.ts";
import { ScriptedSbc } from "./scripted-sbc.ts";

export const SBC = "sbc.linecheck.test";
export const MICROSOFT = [
  "sip.pstnhub.microsoft.com",
  "sip2.pstnhub.microsoft.com",
  "sip3.pstnhub.microsoft.com",
  "*.pstnhub.microsoft.com",
];

interface Leaf {
  readonly key: string;
  readonly cert: string;
}

/** What a test file issues once: both sides' certificates and the authority behind them. */
export interface EdgeCertificates {
  readonly ca: string;
  readonly edge: Leaf;
  readonly sbc: Leaf;
}

/** Certificates of an authority of its own for the edge and {@link SBC}. */
export async function issueEdgeCertificates(clock = systemClock()): Promise<EdgeCertificates> {
  const [authorityKeys, keyPair] = await Promise.all([createKeyPair(), createKeyPair()]);
  const authority = await createCertificateAuthority({ clock, keyPair: authorityKeys });
  const [edge, sbc] = await Promise.all([
    authority.issue({ commonName: "sip", hosts: MICROSOFT, keyPair }),
    authority.issue({ commonName: SBC, hosts: [SBC], keyPair }),
  ]);
  return { ca: authority.certificate, edge, sbc };
}

export interface EdgeLabOptions extends Partial<Omit<DirectRoutingOptions, "trace" | "resource">> {
  readonly certificates: EdgeCertificates;
  readonly trunk?: Partial<TrunkSettings>;
  /** What the border controller shows when it dials. Default: its certificate. */
  readonly showCertificate?: boolean;
  /** False: nobody takes incoming calls. */
  readonly application?: boolean;
  /** How the border controller treats CANCEL. */
  readonly cancelled?: "automatic" | "manual";
}

/** An edge and one paired border controller that does what the test says. */
export interface EdgeLab extends AsyncDisposable {
  readonly edge: DirectRouting;
  readonly sbc: ScriptedSbc;
  readonly resource: Resource;
  readonly trace: Trace;
  /** Incoming calls, oldest first. */
  readonly legs: PstnLeg[];
  /** Codes of the errors found so far. */
  readonly findings: () => string[];
}

export async function startEdgeLab(options: EdgeLabOptions): Promise<EdgeLab> {
  const { certificates, trunk, showCertificate, cancelled, application = true, ...more } = options;
  const { clock = systemClock(), ...rest } = more;
  await using stack = new AsyncDisposableStack();
  const trace = stack.use(openTrace({ clock }));
  const names = () => edge.names;
  const sbc = stack.use(
    await ScriptedSbc.start({
      clock,
      trace: trace.as("sbc"),
      fqdn: SBC,
      certificate: certificates.sbc,
      ca: certificates.ca,
      names,
      showCertificate,
      cancelled,
    }),
  );
  const resource = createLabResource(sbc, trunk);
  const edge: DirectRouting = stack.use(
    await startDirectRouting({
      clock,
      trace: trace.as("acs"),
      resource,
      certificate: certificates.edge,
      trustedRoots: [certificates.ca],
      ...rest,
    }),
  );
  const legs: PstnLeg[] = [];
  if (application) edge.onIncoming((leg) => legs.push(leg));
  const errors = () => edge.findings.filter(({ severity }) => severity === "error");
  const findings = () => errors().map(({ code }) => code);
  const opened = stack.move();
  const dispose = () => opened[Symbol.asyncDispose]();
  return { edge, sbc, resource, trace, legs, findings, [Symbol.asyncDispose]: dispose };
}

/** The same after OPTIONS to every datacenter. */
export async function startOnlineLab(options: EdgeLabOptions): Promise<EdgeLab> {
  const lab = await startEdgeLab(options);
  await Promise.all(lab.edge.datacenters.map((datacenter) => lab.sbc.options(datacenter)));
  await lab.edge.waitForOnline(SBC, { timeoutMs: 5_000 });
  return lab;
}

/** An incoming call that the edge's side has answered. */
export async function connect(
  { sbc, legs }: EdgeLab,
  parts: Parameters<ScriptedSbc["invite"]>[0] = {},
) {
  const before = legs.length;
  const { promise: rung, resolve } = Promise.withResolvers<void>();
  const invited = sbc.invite({ ...parts, onProgress: () => resolve() });
  await Promise.race([rung, invited]);
  const leg = legs[before];
  if (leg === undefined) throw new Error(`no call came in: ${(await invited).response.startLine}`);
  await leg.answer();
  const { call, response } = await invited;
  if (call === undefined) throw new Error(`the call was refused: ${response.startLine}`);
  return { leg, call, response };
}

export const QUEUE = "+18005550150";
export const SUMMARY = { "X-AI-Summary": "dispute%20a%20charge." };

/** A transfer on its way, the REFER accepted; `settled` never rejects. */
export async function refer(lab: EdgeLab, leg: PstnLeg) {
  const settled = leg.transfer(QUEUE, { sipHeaders: SUMMARY }).then(
    () => "accepted" as const,
    (error: unknown) => error,
  );
  const transaction = await lab.sbc.next("REFER");
  return { settled, transaction, ...lab.sbc.referral(transaction) };
}

export const EVERY_NUMBER = { name: "all", numberPattern: String.raw`^\+\d+$`, trunks: [SBC] };

function createLabResource(sbc: ScriptedSbc, trunk: Partial<TrunkSettings> = {}): Resource {
  return createResource({
    name: "linecheck",
    resourceId: "5ac0de00-0000-4000-8000-000000000001",
    domains: ["linecheck.test"],
    trunks: [{ fqdn: SBC, sipSignalingPort: sbc.port, address: "127.0.0.1", ...trunk }],
    routes: [EVERY_NUMBER],
  });
}
