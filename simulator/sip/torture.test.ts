import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { startLine, startUdp, udpPeer } from "./testing/peers.ts";

/** What becomes of a message: it reaches the application, is refused by the stack, or is dropped. */
interface Expectation {
  section: string;
  title: string;
  disposition: string;
  note?: string;
}

interface Message extends Expectation {
  name: string;
  bytes: Buffer;
}

function messagesOf(folder: string): Message[] {
  const at = new URL(`../../fixtures/sip/torture/${folder}/`, import.meta.url);
  const table: Record<string, Expectation> = JSON.parse(
    readFileSync(new URL("expected.json", at), "utf8"),
  );
  const files = readdirSync(at).filter((file) => file.endsWith(".sip"));
  expect(files.map((file) => file.replace(".sip", "")).toSorted()).toEqual(
    Object.keys(table).toSorted(),
  );
  return Object.entries(table).map(([name, expected]) => ({
    ...expected,
    name,
    bytes: readFileSync(new URL(`${name}.sip`, at)),
  }));
}

const torture = messagesOf("rfc4475");
const ipv6 = messagesOf("rfc5118");

test("all 49 messages of RFC 4475 and the 11 of RFC 5118 are here", () => {
  expect([torture.length, ipv6.length]).toEqual([49, 11]);
});

/** Sends one message to a stack whose application answers 200, then a plain OPTIONS. */
async function dispositionOf(bytes: Buffer): Promise<string> {
  const reached: string[] = [];
  await using uas = await startUdp({
    trying: "manual",
    rport: "always",
    onRequest: (transaction) => {
      reached.push("accepted");
      transaction.respond(200);
    },
    onResponse: () => void reached.push("stray response"),
  });
  await using peer = await udpPeer(uas.port);
  peer.sendBytes(bytes);
  peer.send(PROBE);
  const answers = [];
  for (let answer = ""; !answer.includes("CSeq: 77 OPTIONS"); ) {
    answer = await peer.next();
    answers.push(startLine(answer).slice("SIP/2.0 ".length));
  }
  reached.pop();
  answers.pop();
  return reached[0] ?? answers[0] ?? "dropped";
}

const PROBE = [
  "OPTIONS sip:probe@127.0.0.1 SIP/2.0",
  "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKprobe;rport",
  "From: <sip:probe@127.0.0.1>;tag=p",
  "To: <sip:probe@127.0.0.1>",
  "Call-ID: probe",
  "CSeq: 77 OPTIONS",
  "",
  "",
].join("\r\n");

test.each(torture)("RFC 4475 $section $name: $title", async ({ disposition, bytes }) => {
  expect(await dispositionOf(bytes)).toBe(disposition);
});

test.each(ipv6)("RFC 5118 $section $name: $title", async ({ disposition, bytes }) => {
  expect(await dispositionOf(bytes)).toBe(disposition);
});
