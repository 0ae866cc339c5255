/**
 * Throws broken packets and descriptions at the media parsers: `node bench/fuzz-media.ts
 * [--seed 1] [--seconds 5]`. Each round takes valid bytes, cuts, turns, repeats and inserts some,
 * and feeds RTP, RTCP, SRTP, telephone events, SDP, crypto lines, the jitter buffer and a whole
 * receiver. A parser may refuse; it may not throw anything but MediaRefused, hang, or accept a
 * changed SRTP packet. Prints the seed of the first failure and exits 1.
 */
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { KeyReader, parseTelephoneEvent } from "../simulator/media/dtmf.ts";
import { randomFrom } from "../simulator/media/impair.ts";
import { JitterBuffer } from "../simulator/media/jitter.ts";
import { Negotiation } from "../simulator/media/negotiation.ts";
import { Receiver } from "../simulator/media/receiver.ts";
import { Recorder } from "../simulator/media/recording.ts";
import { formatReport, parseReport } from "../simulator/media/rtcp.ts";
import { formatRtp, parseRtp } from "../simulator/media/rtp.ts";
import { parseCryptoLine } from "../simulator/media/sdes.ts";
import { formatSdp, MediaRefused, parseSdp } from "../simulator/media/sdp.ts";
import { SrtpContext } from "../simulator/media/srtp.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seconds: { type: "string", default: "5" },
  },
});

type Random = () => number;
type Target = (random: Random) => void;

const KEY = new Uint8Array(30).fill(7);
const SUITE = "AES_CM_128_HMAC_SHA1_80";
const below = (random: Random, limit: number) => Math.floor(random() * limit);

/** One to four wounds: a turned octet, a cut, a piece twice, a piece of noise. */
function wound(random: Random, source: Uint8Array): Uint8Array {
  let bytes = source.slice();
  for (let count = 1 + below(random, 4); count > 0; count--) {
    const at = below(random, bytes.length + 1);
    const noise = Uint8Array.from({ length: below(random, 12) }, () => below(random, 256));
    const kinds = [
      () => bytes.map((octet, index) => (index === at ? octet ^ (1 << below(random, 8)) : octet)),
      () => bytes.subarray(0, at),
      () => bytes.subarray(at),
      () => Buffer.concat([bytes.subarray(0, at), bytes.subarray(below(random, at + 1))]),
      () => Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)]),
    ];
    bytes = new Uint8Array(kinds[below(random, kinds.length)]?.() ?? bytes);
  }
  return bytes.subarray(0, 4_000);
}

function packet(random: Random, payloadType = 0): Uint8Array {
  const payload = Uint8Array.from({ length: payloadType === 0 ? 160 : 4 }, () =>
    below(random, 256),
  );
  return formatRtp({
    payloadType,
    marker: random() < 0.1,
    sequence: below(random, 0x1_0000),
    timestamp: below(random, 2 ** 32),
    ssrc: 1,
    payload,
  });
}

const offer = negotiation().offer("sendrecv");

function negotiation(): Negotiation {
  return new Negotiation({
    address: { host: "127.0.0.1", port: 4_000 },
    codecs: ["PCMU", "PCMA"],
    srtp: "required",
    suites: [SUITE, "AES_CM_128_HMAC_SHA1_32"],
    style: { bandwidth: "CT:10000000" },
    random: (length) => new Uint8Array(length).fill(5),
  });
}

/** Runs what may refuse in words; anything else that is thrown is a finding. */
function refusable(attempt: () => void): void {
  try {
    attempt();
  } catch (error) {
    if (!(error instanceof MediaRefused)) throw error;
  }
}

const targets: Record<string, Target> = {
  rtp: (random) => {
    const parsed = parseRtp(wound(random, packet(random)));
    if (parsed && parsed.payload.length > 4_000) throw new Error("payload beyond the datagram");
  },
  rtcp: (random) => {
    const block = { fractionLost: 1, lost: 1, highest: 1, jitter: 1, lastReport: 1, delay: 1 };
    const sender = { dateMs: 0, timestamp: 0, packets: 0, octets: 0 };
    const report = { ssrc: 1, sender, blocks: [{ ssrc: 2, ...block }], bye: true };
    parseReport(wound(random, formatReport(report, "a@b")));
  },
  srtp: (random) => {
    const [sender, receiver] = [1, 2].map(() => new SrtpContext({ key: KEY, suite: SUITE }));
    const secret = sender?.protect(packet(random)) ?? new Uint8Array(0);
    const wounded = wound(random, secret);
    const { rejected } = receiver?.unprotect(wounded) ?? {};
    if (rejected === undefined && Buffer.compare(wounded, secret) !== 0) {
      throw new Error("a changed packet was taken for authentic");
    }
    receiver?.unprotectReport(wounded);
  },
  event: (random) => {
    const reader = new KeyReader();
    for (let count = 0; count < 5; count++) {
      const parsed = parseRtp(wound(random, packet(random, 101)));
      if (parsed === undefined) continue;
      parseTelephoneEvent(parsed.payload);
      reader.read(parsed);
    }
  },
  sdp: (random) => {
    const text = Buffer.from(wound(random, Buffer.from(offer))).toString("latin1");
    refusable(() => {
      const description = parseSdp(text);
      // What was understood is written so that it is understood again.
      parseSdp(formatSdp(description));
    });
    refusable(() => negotiation().answer(text, "sendrecv"));
    refusable(() => negotiation().accept(text));
  },
  crypto: (random) => {
    const line = `1 ${SUITE} inline:${Buffer.from(KEY).toString("base64")}|2^31|1:1`;
    parseCryptoLine(Buffer.from(wound(random, Buffer.from(line))).toString("latin1"));
  },
  jitter: (random) => {
    const buffer = new JitterBuffer();
    for (let atMs = 0; atMs < 2_000; atMs += 20) {
      const stamp = random() < 0.1 ? below(random, 2 ** 32) : atMs * 8;
      buffer.put(stamp, new Int16Array(below(random, 400)), atMs);
      if (random() < 0.1) buffer.putEvent(stamp, below(random, 0x1_0000), atMs);
      if (buffer.take(atMs).samples.length !== 160) throw new Error("not a frame");
    }
  },
  receiver: (random) => {
    const options = { jitterMs: 60, heard: new Recorder({ limitMs: 1_000 }), onKey: () => {} };
    const receiver = new Receiver(options);
    const agreed = negotiation().answer(offer, "sendrecv").negotiated;
    receiver.configure(agreed);
    for (let atMs = 0; atMs < 400; atMs += 20) {
      const parsed = parseRtp(wound(random, packet(random, random() < 0.3 ? 101 : 0)));
      if (parsed !== undefined) receiver.receive(parsed, atMs);
      receiver.tick(atMs);
    }
    const { lost, longestGapMs, quality } = receiver.statistics();
    if (!(lost >= 0 && longestGapMs >= 0 && quality.mos >= 1)) throw new Error("absurd figures");
  },
};

const firstSeed = Number(values.seed);
const secondsEach = Number(values.seconds) / Object.keys(targets).length;
for (const [name, target] of Object.entries(targets)) {
  const until = performance.now() + secondsEach * 1_000;
  let seed = firstSeed;
  for (; performance.now() < until; seed++) {
    try {
      target(randomFrom(seed));
    } catch (error) {
      console.error(`${name}: seed ${seed}:`, error);
      process.exit(1);
    }
  }
  console.log(`${name.padEnd(9)} ${seed - firstSeed} rounds from seed ${firstSeed}, no finding`);
}
