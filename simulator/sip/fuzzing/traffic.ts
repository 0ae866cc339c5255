import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { systemClock } from "../../clock.ts";
import type { PartyTrace } from "../../trace.ts";
import { SipRequest } from "../message.ts";
import { type SipStack, startSipStack } from "../stack.ts";
import type { ServerTransaction } from "../transaction.ts";
import { mutate, SeededRandom } from "./mutation.ts";

export interface TrafficOptions {
  seed: number;
  /** How many messages the peers send. */
  messages: number;
}

export interface TrafficReport {
  /** Messages the stack took in and gave out, its own retransmissions included. */
  received: number;
  sent: number;
  /** Requests that reached the application. */
  requests: number;
  /** Errors in the trace, by code. */
  errors: Record<string, number>;
  /** Transactions left at the end; anything but 0 is a leak. */
  left: number;
}

/** Lab time runs this much faster, so that 32 s of lingering pass in 0.16 s. */
const RATE = 200;
const BATCH = 100;
/** 5 ms of wall time: loopback UDP drops what nobody reads, so the stack has to keep up. */
const PAUSE_LAB_MS = 5 * RATE;
const UNANSWERED_INVITE_MS = 60_000;
const DRAIN_LAB_MS = 2_000_000;

/**
 * Random traffic for a whole stack over real sockets: requests, ACKs, CANCELs and responses with
 * few different branches, Call-IDs and tags, so that they meet in transactions; every third one
 * is mutated. The application answers at random, too late, twice or never, and calls back.
 * What is sent depends on the seed only; how it interleaves, on the machine.
 */
export async function fuzzStack({ seed, messages }: TrafficOptions): Promise<TrafficReport> {
  const report: TrafficReport = { received: 0, sent: 0, requests: 0, errors: {}, left: 0 };
  const random = new SeededRandom(seed);
  const clock = systemClock({ rate: RATE });
  await using stack: SipStack = await startSipStack({
    clock,
    trace: countingTrace(report),
    listen: [
      { transport: "udp", host: "127.0.0.1", port: 0 },
      { transport: "tcp", host: "127.0.0.1", port: 0 },
    ],
    limits: { unansweredInviteMs: UNANSWERED_INVITE_MS },
    onRequest: (transaction) => {
      report.requests++;
      serve(transaction, random, stack);
    },
  });
  const [udpPort = 0, tcpPort = 0] = stack.listeners.map(({ port }) => port);
  await using peers = await openPeers(udpPort, tcpPort);
  for (let count = 0; count < messages; count += BATCH) {
    for (let inBatch = 0; inBatch < BATCH; inBatch++) peers.send(random, message(random));
    await clock.sleep(PAUSE_LAB_MS);
  }
  const deadlineMs = clock.now() + DRAIN_LAB_MS;
  const leftNow = () => stack.transactions.client + stack.transactions.server;
  while (leftNow() > 0 && clock.now() < deadlineMs) await clock.sleep(1000);
  report.left = leftNow();
  return report;
}

function countingTrace(report: TrafficReport): PartyTrace {
  return {
    record(event) {
      if (event.type === "sip" && event.direction === "in") report.received++;
      if (event.type === "sip" && event.direction === "out") report.sent++;
      if (event.type === "error") report.errors[event.code] = (report.errors[event.code] ?? 0) + 1;
    },
  };
}

/** One of the things applications do, good and bad. */
function serve(transaction: ServerTransaction, random: SeededRandom, stack: SipStack): void {
  switch (random.below(8)) {
    case 0:
      return;
    case 1:
      throw new Error("an application error");
    case 2:
      transaction.respond(180);
      transaction.respond(random.pick([200, 486, 603]));
      return;
    case 3:
      transaction.respond(200);
      // The second final response throws SIP_STATE into the stack's arms.
      transaction.respond(500);
      return;
    case 4:
      callBack(transaction, random, stack);
      return;
    default:
      transaction.respond(random.pick([183, 200, 302, 404, 503]), { body: "x" });
  }
}

/** A request of our own towards whoever sent this one, sometimes cancelled. */
function callBack(transaction: ServerTransaction, random: SeededRandom, stack: SipStack): void {
  const { source, connection } = transaction;
  const method = random.pick(["INVITE", "OPTIONS", "BYE"]);
  const headers = {
    From: "<sip:stack@127.0.0.1>;tag=s",
    To: "<sip:peer@127.0.0.1>",
    "Call-ID": `back-${random.below(1e6)}`,
    CSeq: `1 ${method}`,
  };
  const uri = `sip:peer@127.0.0.1:${source.port};transport=${connection.transport}`;
  const request = new SipRequest({ method, uri, headers });
  const call = stack.request(request, { connection });
  if (random.below(2) === 0) call.onResponse(() => call.cancel());
  transaction.respond(random.pick([200, 488]));
  // An INVITE that rings for ever is what a deadline is for.
  setImmediate(() => call.cancel());
}

interface Peers extends AsyncDisposable {
  send(random: SeededRandom, bytes: Buffer): void;
}

const TCP_PEERS = 4;

/** UDP and TCP senders that answer our requests with something, sometimes. */
async function openPeers(udpPort: number, tcpPort: number): Promise<Peers> {
  const udp = createSocket("udp4");
  udp.bind(0, "127.0.0.1");
  await once(udp, "listening");
  const answers = new SeededRandom(udpPort);
  udp.on("message", (bytes) => {
    const answer = answerTo(String(bytes), answers);
    if (answer !== undefined) udp.send(answer, udpPort, "127.0.0.1");
  });
  const streams = Array.from({ length: TCP_PEERS }, () => reconnecting(tcpPort));
  return {
    send(random, bytes) {
      if (random.below(4) > 0) udp.send(bytes, udpPort, "127.0.0.1");
      else random.pick(streams).send(bytes);
    },
    async [Symbol.asyncDispose]() {
      for (const stream of streams) stream.close();
      udp.close();
      await once(udp, "close");
    },
  };
}

/** A TCP connection that is opened anew when the stack has ended it over bad bytes. */
function reconnecting(port: number) {
  const open = () => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => socket.destroy());
    socket.resume();
    return socket;
  };
  let socket = open();
  return {
    send(bytes: Buffer) {
      if (socket.destroyed || socket.writableEnded) socket = open();
      socket.write(bytes);
    },
    close: () => void socket.destroy(),
  };
}

const header = (text: string, name: string) =>
  new RegExp(`^${name}:[^\\r]*`, "im").exec(text)?.[0] ?? "";

function answerTo(text: string, random: SeededRandom): string | undefined {
  if (text.startsWith("SIP/2.0") || random.below(3) === 0) return undefined;
  const status = random.pick(["100 Trying", "180 Ringing", "200 OK", "486 Busy Here"]);
  const copied = ["Via", "From", "Call-ID", "CSeq"].map((name) => header(text, name));
  const to = `${header(text, "To")};tag=${random.pick(["p", "q"])}`;
  return [`SIP/2.0 ${status}`, ...copied, to, "Content-Length: 0", "", ""].join("\r\n");
}

const METHODS = ["INVITE", "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "PRACK", "FOO"];

/** A request or response out of small pools of identities; every third is damaged. */
function message(random: SeededRandom): Buffer {
  const method = random.pick(METHODS);
  const identity = random.below(200);
  const start =
    random.below(8) === 0
      ? `SIP/2.0 ${random.pick([100, 180, 200, 487])} x`
      : `${method} sip:stack@127.0.0.1 SIP/2.0`;
  const toTag = random.pick(["", "", ";tag=s", ";tag=t"]);
  const bytes = Buffer.from(
    [
      start,
      `Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK${identity}${random.pick(["", "x"])};rport`,
      `From: <sip:peer@127.0.0.1>;tag=${identity % 7}`,
      `To: <sip:stack@127.0.0.1>${toTag}`,
      `Call-ID: ${identity}`,
      `CSeq: ${random.below(3)} ${method}`,
      "Content-Length: 0",
      "",
      "",
    ].join("\r\n"),
  );
  return random.below(3) === 0 ? mutate(random, [bytes]) : bytes;
}
