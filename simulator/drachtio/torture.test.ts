import { createSocket } from "node:dgram";
import { once } from "node:events";
import { globSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { basename } from "node:path";
import Srf from "drachtio-srf";
import { expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { silentTrace } from "../trace.ts";
import { startDrachtioDaemon } from "./daemon.ts";
import { encodeFrame, type Frame, FrameDecoder } from "./frame.ts";

// drachtio-srf loses a message it cannot parse, and the call hangs; so everything that is passed
// up has to be readable for it, whatever comes in.

const files = globSync("fixtures/sip/torture/*/*.sip").toSorted();
const METHODS = "invite register options message info notify subscribe publish refer newmethod foo";

/** What an application that routes every method is told when these bytes come in. */
async function passedUp(bytes: Buffer): Promise<Frame[]> {
  await using daemon = await startDrachtioDaemon({
    clock: systemClock(),
    trace: silentTrace,
    contacts: [{ transport: "udp", host: "127.0.0.1", port: 0 }],
  });
  const socket = connect(daemon.control.port, "127.0.0.1");
  const decoder = new FrameDecoder(1_000_000);
  const frames: Frame[] = [];
  socket.on("data", (chunk: Buffer) => {
    frames.push(...decoder.push(chunk));
    socket.emit("frame");
  });
  const until = async (token: string) => {
    while (!frames.some(({ tokens }) => tokens[2] === token)) await once(socket, "frame");
  };
  socket.write(encodeFrame("a|authenticate|cymru|"));
  for (const method of METHODS.split(" ")) socket.write(encodeFrame(`r|route|${method}`));
  socket.write(encodeFrame("p1|ping"));
  await until("p1");
  const peer = createSocket("udp4");
  const port = daemon.contacts[0]?.port ?? 0;
  peer.send(bytes, port, "127.0.0.1");
  const answered = once(peer, "message", { signal: AbortSignal.timeout(3_000) });
  peer.send(PROBE, port, "127.0.0.1");
  await answered;
  socket.write(encodeFrame("p2|ping"));
  await until("p2");
  peer.close();
  socket.destroy();
  return frames.filter(({ tokens, message }) => {
    return tokens[1] === "sip" && !message.includes("Call-ID: probe");
  });
}

/**
 * Requests outside a dialog that are legal, or broken where only an application would look. The
 * other legal ones have a To tag (481) or a method nobody routed (405).
 */
const REACHES_THE_APPLICATION = new Set([
  "badbranch",
  "bext01",
  "cparam01",
  "cparam02",
  "dblreq",
  "esc01",
  "escnull",
  "inv2543",
  "invut",
  "ipv4-mapped-ipv6",
  "ipv6-good",
  "ipv6-in-sdp",
  "longreq",
  "lwsdisp",
  "mpart01",
  "mult-ip-in-sdp",
  "port-ambiguous",
  "port-unambiguous",
  "regaut01",
  "regescrt",
  "sdp01",
  "semiuri",
  "transports",
  "unksm2",
  "zeromf",
]);

/** Always answered: 481, at once and by the daemon itself. */
const PROBE = [
  "BYE sip:a@127.0.0.1 SIP/2.0",
  "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK-probe;rport",
  "Max-Forwards: 70",
  "From: <sip:p@127.0.0.1>;tag=p",
  "To: <sip:a@127.0.0.1>;tag=none",
  "Call-ID: probe",
  "CSeq: 1 BYE",
  "Content-Length: 0",
  "\r\n",
].join("\r\n");

interface Parsed {
  method: string;
  get(name: string): string;
  getParsedHeader(name: string): unknown;
}

function parseAsSrf(text: string): Parsed {
  const { SipMessage } = Srf as unknown as { SipMessage: new (text: string) => Parsed };
  return new SipMessage(text);
}

test.each(files.map((file) => [basename(file, ".sip"), file]))(
  "what %s makes of the daemon is readable for drachtio-srf",
  async (title, file) => {
    const frames = await passedUp(readFileSync(file));
    for (const { tokens, message } of frames) {
      expect(tokens).toHaveLength(13);
      const parsed = parseAsSrf(message.toString());
      expect(parsed.method).toMatch(/^[!\w%'*+.`~-]+$/);
      for (const name of ["call-id", "cseq", "from", "to", "via"]) {
        expect([name, typeof parsed.get(name)]).toEqual([name, "string"]);
        expect(() => parsed.getParsedHeader(name)).not.toThrow();
      }
    }
    expect(frames).toHaveLength(REACHES_THE_APPLICATION.has(title) ? 1 : 0);
  },
);
