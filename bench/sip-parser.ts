import { parseMessage } from "../simulator/sip/parser.ts";

/**
 * How many messages per second the parser takes. Prints one line per message, best of six rounds,
 * by processor time. "parse" is what every received message costs: start line, header index and
 * the three values that find its transaction. "edited" adds what a B2BUA does: a header changed
 * and the message written again.
 *
 *   node bench/sip-parser.ts [rounds=6] [messagesPerRound=200000]
 */
const [rounds = 6, perRound = 200_000] = process.argv.slice(2).map(Number);

const SDP = [
  "v=0",
  "o=- 1700000000 1700000000 IN IP4 192.0.2.10",
  "s=-",
  "c=IN IP4 192.0.2.10",
  "t=0 0",
  "m=audio 40000 RTP/AVP 0 8 101",
  "a=rtpmap:0 PCMU/8000",
  "a=rtpmap:8 PCMA/8000",
  "a=rtpmap:101 telephone-event/8000",
  "a=fmtp:101 0-16",
  "a=ptime:20",
  "a=sendrecv",
  "",
].join("\r\n");

const HEADERS = [
  "Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK74bf9a8c2d1e;rport",
  "Max-Forwards: 70",
  'From: "Customer" <sip:+14255550100@192.0.2.10>;tag=9fxced76sl',
  "To: <sip:+18005550100@sbc.example.com>",
  "Call-ID: 3848276298220188511@192.0.2.10",
  "CSeq: 63104 INVITE",
  "Contact: <sip:+14255550100@192.0.2.10:5060;transport=udp>",
  "X-Customer-ID: C-1042",
  "X-Transfer-Reason: billing",
  "Content-Type: application/sdp",
];

function message(startLine: string, bytes: number): Buffer {
  const head = [startLine, ...HEADERS, `Content-Length: ${SDP.length}`];
  const bare = [...head, "User-Agent: ", "", SDP].join("\r\n");
  const filled = [...head, `User-Agent: ${"x".repeat(bytes - bare.length)}`, "", SDP];
  return Buffer.from(filled.join("\r\n"));
}

function read(bytes: Buffer): number {
  const { branch = "", callId, cseq } = parseMessage(bytes);
  return branch.length + callId.length + cseq.number;
}

function edit(bytes: Buffer): number {
  const parsed = parseMessage(bytes);
  parsed.set("Max-Forwards", "69");
  return parsed.toBuffer().length;
}

function measure(name: string, work: (bytes: Buffer) => number, bytes: Buffer): void {
  let best = Number.POSITIVE_INFINITY;
  let sink = 0;
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    for (let count = 0; count < perRound; count++) sink += work(bytes);
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / perRound);
  }
  const perSecond = Math.round(1e6 / best).toLocaleString("en");
  const figures = `${perSecond} messages/s, ${best.toFixed(2)} us each`;
  console.log(`${name} (${bytes.length} bytes): ${figures}${sink === 0 ? "!" : ""}`);
}

const invite = message("INVITE sip:+18005550100@sbc.example.com SIP/2.0", 809);
const ok = message("SIP/2.0 200 OK", 767);
measure("parse INVITE", read, invite);
measure("parse 200", read, ok);
measure("edited INVITE", edit, invite);
