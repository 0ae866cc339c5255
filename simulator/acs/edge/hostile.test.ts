import { once } from "node:events";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { beforeAll, expect, test } from "vitest";
import { seededIds } from "../ids.ts";
import {
  type EdgeCertificates,
  type EdgeLab,
  issueEdgeCertificates,
  MICROSOFT,
  startEdgeLab,
} from "../testing/edge-lab.ts";

const SEED = 20_260_312;
const ROUNDS = 120;
let certificates: EdgeCertificates;

beforeAll(async () => {
  certificates = await issueEdgeCertificates();
});

const OFFER = [
  "v=0",
  "o=- 1 1 IN IP4 127.0.0.1",
  "s=-",
  "c=IN IP4 127.0.0.1",
  "t=0 0",
  "m=audio 40000 RTP/SAVP 0 101",
  `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${"A".repeat(40)}|2^31|1:1`,
  "a=rtpmap:101 telephone-event/8000",
  "",
].join("\r\n");

const REFERRED =
  "Referred-By: <sip:sip.pstnhub.microsoft.com:5061;x-m=8:acs:1;x-ti=2;x-tt=aHR0cHM6Ly9h%3D>";

function invite(serial: number): string {
  return [
    "INVITE sip:+18005550100@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls SIP/2.0",
    `Via: SIP/2.0/TLS sbc.linecheck.test:5061;branch=z9hG4bK${serial}`,
    "Max-Forwards: 70",
    `From: "A, B" <sip:+14255550100@sbc.linecheck.test>;tag=${serial}`,
    "To: <sip:+18005550100@sip.pstnhub.microsoft.com>",
    `Call-ID: hostile-${serial}`,
    "CSeq: 1 INVITE",
    "Contact: <sip:sbc.linecheck.test:5061;transport=tls>",
    "Allow: INVITE,ACK,BYE,CANCEL,OPTIONS,NOTIFY,REFER",
    "Supported: timer,replaces",
    "Session-Expires: 1800;refresher=uac",
    ...(serial % 4 === 0 ? [REFERRED] : []),
    "History-Info: <sip:+18005550001@sip.pstnhub.microsoft.com>;index=1",
    "X-Customer-ID: C-1042",
    "User-To-User: 616d;encoding=hex",
    "Content-Type: application/sdp",
    "",
    OFFER,
  ].join("\r\n");
}

const HOSTILE = [
  "\0",
  "\r\n",
  "<",
  ">",
  '"',
  ";",
  "%",
  "@",
  "é",
  "999999999999",
  " ",
  ",",
  "=",
  "[:",
];

/** One to three small wounds at random places. */
function mutate(text: string, random: () => number): string {
  const wounds = 1 + Math.floor(random() * 3);
  let wounded = text;
  for (let wound = 0; wound < wounds; wound += 1) {
    const at = Math.floor(random() * wounded.length);
    const cut = Math.floor(random() * 12);
    const put = HOSTILE[Math.floor(random() * HOSTILE.length)] ?? "";
    wounded = wounded.slice(0, at) + put + wounded.slice(at + cut);
  }
  return wounded;
}

/** Content-Length for whatever the mutation made of the body, so that the message is complete. */
function framed(text: string): string {
  const at = text.indexOf("\r\n\r\n");
  const body = at < 0 ? "" : text.slice(at + 4);
  const head = at < 0 ? text : text.slice(0, at);
  return `${head}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

async function dial(lab: EdgeLab): Promise<TLSSocket> {
  const { host = "", port = 0 } = lab.edge.datacenters[0] ?? {};
  const socket = connectTls({
    host,
    port,
    ...certificates.sbc,
    ca: certificates.ca,
    servername: MICROSOFT[0],
  });
  socket.on("error", () => {
    // The edge may close a connection that makes no sense.
  });
  socket.resume();
  await once(socket, "secureConnect");
  return socket;
}

test(`${ROUNDS} mutated INVITEs neither stop the edge nor reach its own faults (seed ${SEED})`, async () => {
  await using lab = await startEdgeLab({ certificates });
  const ids = seededIds(SEED);
  for (let serial = 0; serial < ROUNDS; serial += 1) {
    const socket = await dial(lab);
    socket.end(framed(mutate(invite(serial), () => ids.random())));
    await once(socket, "close");
  }
  expect(lab.legs.length).toBeGreaterThan(ROUNDS / 20);
  expect(lab.findings().length).toBeGreaterThan(ROUNDS / 20);
  for (const leg of lab.legs) leg.reject(480, "enough");
  const [datacenter] = lab.edge.datacenters;
  const response = datacenter && (await lab.sbc.options(datacenter));
  expect(response?.status).toBe(200);
  expect(lab.findings()).not.toContain("EDGE_INTERNAL");
  expect(lab.edge.liveDialogs).toBe(0);
});
