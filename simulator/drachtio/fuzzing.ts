import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { globSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { systemClock } from "../clock.ts";
import { mutate, SeededRandom } from "../sip/fuzzing/mutation.ts";
import { silentTrace } from "../trace.ts";
import { type DrachtioDaemon, startDrachtioDaemon } from "./daemon.ts";
import { parseExchange } from "./exchange.ts";
import { encodeFrame, FrameDecoder } from "./frame.ts";

/** What has been thrown at the daemon; it answered a ping and a BYE after every round. */
export interface FuzzReport {
  frames: number;
  datagrams: number;
  streams: number;
}

const ROUND = 50;

/**
 * Throws broken control frames, broken streams and broken datagrams at a whole daemon: the inputs
 * of the recorded exchanges, with what the daemon last said in the places of their names, mutated.
 * Rejects when it does not answer any more. The same seed gives the same inputs.
 */
export async function fuzzDaemon({ seed, rounds }: { seed: number; rounds: number }) {
  const random = new SeededRandom(seed);
  const corpus = readCorpus();
  await using daemon = await startDrachtioDaemon({
    clock: systemClock(),
    trace: silentTrace,
    contacts: [{ transport: "udp", host: "127.0.0.1", port: 0 }],
    timers: { t1Ms: 5, t2Ms: 10, t4Ms: 10, timeoutMs: 100, dMs: 50 },
  });
  await using attacker = await openAttacker(daemon);
  const report: FuzzReport = { frames: 0, datagrams: 0, streams: 0 };
  for (let round = 0; round < rounds; round++) {
    for (let shot = 0; shot < ROUND; shot++) await shoot(attacker, { random, corpus, report });
    await attacker.check();
  }
  return report;
}

interface Corpus {
  frames: readonly string[];
  datagrams: readonly string[];
}

function readCorpus(): Corpus {
  const sections = globSync("fixtures/sip/exchanges/*.txt")
    .toSorted()
    .flatMap((file) => parseExchange(readFileSync(file, "utf8")).sections);
  const of = (channel: string) =>
    sections.filter((section) => section.channel === channel).map(({ text }) => text);
  return { frames: of("app>"), datagrams: of("net>") };
}

interface Ammunition {
  random: SeededRandom;
  corpus: Corpus;
  report: FuzzReport;
}

async function shoot(attacker: Attacker, { random, corpus, report }: Ammunition): Promise<void> {
  const kind = random.below(10);
  if (kind < 5) {
    report.datagrams += 1;
    return attacker.datagram(mutated(random, attacker, corpus.datagrams));
  }
  const bytes = mutated(random, attacker, corpus.frames);
  if (kind < 9) {
    report.frames += 1;
    return attacker.frame(bytes);
  }
  report.streams += 1;
  await attacker.stream(Buffer.concat([encodeFrame("a|authenticate|cymru|"), bytes]));
}

function mutated(random: SeededRandom, attacker: Attacker, texts: readonly string[]): Buffer {
  const text = attacker.fill(random.pick(texts)).replaceAll("\n", "\r\n");
  const whole = Buffer.from(`${text}\r\n\r\n`);
  // A third stays as it is, so that there are calls to break.
  return random.below(3) === 0 ? whole : mutate(random, [whole]);
}

interface Attacker extends AsyncDisposable {
  fill(text: string): string;
  frame(bytes: Buffer): Promise<void>;
  datagram(bytes: Buffer): Promise<void>;
  stream(bytes: Buffer): Promise<void>;
  check(): Promise<void>;
}

const DEADLINE_MS = 5_000;

async function openAttacker(daemon: DrachtioDaemon): Promise<Attacker> {
  const port = daemon.contacts[0]?.port ?? 0;
  const peer = createSocket("udp4").bind(0, "127.0.0.1");
  await once(peer, "listening");
  const seen = { u: "u", tag: "t", branch: "b" };
  const note = (text: string) => {
    seen.u = /\|([0-9a-f-]{36})\|/.exec(text)?.[1] ?? seen.u;
    seen.tag = /^To:.*;tag=([\w-]{10,})/m.exec(text)?.[1] ?? seen.tag;
    seen.branch = /branch=(z9hG4bK[0-9a-f]{20,})/.exec(text)?.[1] ?? seen.branch;
  };
  peer.on("message", (bytes: Buffer) => note(bytes.toString()));
  let control = await openControl(daemon, note);
  let checks = 0;
  return {
    fill: (text) =>
      text
        .replaceAll(/\{u\d\}/g, seen.u)
        .replaceAll(/\{tag\d\}/g, seen.tag)
        .replaceAll(/\{branch\d\}/g, seen.branch)
        .replaceAll("{port}", String(port))
        .replaceAll("{peer}", String(peer.address().port))
        .replaceAll("{length}", "0"),
    async frame(bytes) {
      // An unknown kind ends the connection, as it should.
      if (!control.writable) control = await openControl(daemon, note);
      control.write(Buffer.concat([Buffer.from(`${bytes.length}#`), bytes]));
    },
    async datagram(bytes) {
      await sendDatagram(peer, bytes, port);
    },
    async stream(bytes) {
      const socket = connect(daemon.control.port, "127.0.0.1");
      await once(socket, "connect");
      socket.on("error", () => {}).resume();
      socket.end(bytes);
    },
    async check() {
      await checkControl(daemon);
      checks += 1;
      await checkSip(peer, port, checks);
    },
    async [Symbol.asyncDispose]() {
      control.destroy();
      peer.close();
    },
  };
}

async function openControl(daemon: DrachtioDaemon, note: (text: string) => void): Promise<Socket> {
  const socket = connect(daemon.control.port, "127.0.0.1");
  await once(socket, "connect");
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => note(chunk.toString()));
  socket.write(encodeFrame("a|authenticate|cymru|"));
  for (const verb of ["invite", "options", "subscribe", "refer", "message"]) {
    socket.write(encodeFrame(`r|route|${verb}`));
  }
  return socket;
}

function sendDatagram(peer: UdpSocket, bytes: Buffer, port: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  // Too long for UDP, or empty: the network refuses it and nothing is lost.
  peer.send(bytes, port, "127.0.0.1", () => resolve());
  return promise;
}

async function checkControl(daemon: DrachtioDaemon): Promise<void> {
  const socket = connect(daemon.control.port, "127.0.0.1");
  const decoder = new FrameDecoder(1_000_000);
  const signal = AbortSignal.timeout(DEADLINE_MS);
  await once(socket, "connect", { signal });
  socket.write(Buffer.concat([encodeFrame("a|authenticate|cymru|"), encodeFrame("p|ping")]));
  for (let ponged = false; !ponged; ) {
    const [chunk] = (await once(socket, "data", { signal })) as [Buffer];
    ponged = decoder.push(chunk).some(({ tokens }) => tokens.at(-1) === "pong");
  }
  socket.destroy();
}

async function checkSip(peer: UdpSocket, port: number, serial: number): Promise<void> {
  const probe = [
    "BYE sip:a@127.0.0.1 SIP/2.0",
    `Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK-probe-${serial};rport`,
    "Max-Forwards: 70",
    "From: <sip:p@127.0.0.1>;tag=p",
    "To: <sip:a@127.0.0.1>;tag=none",
    `Call-ID: probe-${serial}`,
    "CSeq: 1 BYE",
    "Content-Length: 0",
    "\r\n",
  ].join("\r\n");
  const signal = AbortSignal.timeout(DEADLINE_MS);
  await sendDatagram(peer, Buffer.from(probe), port);
  for (let answered = false; !answered; ) {
    const [bytes] = (await once(peer, "message", { signal })) as [Buffer];
    answered = bytes.includes(`Call-ID: probe-${serial}`) && bytes.includes("SIP/2.0 481");
  }
}
