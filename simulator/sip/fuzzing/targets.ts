import { readdirSync, readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { SipError } from "../error.ts";
import { formatNameAddr, formatVia, parseCSeq, parseNameAddr, parseVia } from "../fields.ts";
import { StreamFramer } from "../framing.ts";
import { DEFAULT_LIMITS } from "../limits.ts";
import { splitList } from "../list.ts";
import { type SipMessage, SipRequest, SipResponse } from "../message.ts";
import { parseMessage } from "../parser.ts";
import { formatUri, parseUri, sameUri } from "../uri.ts";
import { refusalFor } from "../validation.ts";

/** One parser under fuzzing: what to feed it and what must hold afterwards. */
export interface FuzzTarget {
  name: string;
  corpus: readonly Buffer[];
  /** Throws when a promise of the parser is broken; a SipError is not a breach but an answer. */
  run: (input: Buffer) => void;
}

const FIXTURES = new URL("../../../fixtures/sip/", import.meta.url);

/** One input per line: parsers of one header value. */
function lines(file: string): Buffer[] {
  const text = readFileSync(new URL(`corpus/${file}.txt`, FIXTURES), "utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => Buffer.from(line));
}

/** Whole messages: the torture tests' and those that once broke something. */
function messages(): Buffer[] {
  return ["torture/rfc4475/", "torture/rfc5118/", "corpus/messages/"].flatMap((folder) => {
    const at = new URL(folder, FIXTURES);
    const files = readdirSync(at).filter((file) => file.endsWith(".sip"));
    return files.map((file) => readFileSync(new URL(file, at)));
  });
}

export function fuzzTargets(): FuzzTarget[] {
  const whole = messages();
  return [
    { name: "start-line", corpus: lines("start-line"), run: tolerant(runStartLine) },
    { name: "header", corpus: lines("header"), run: tolerant(runHeader) },
    { name: "uri", corpus: lines("uri"), run: tolerant(runUri) },
    { name: "name-addr", corpus: lines("name-addr"), run: tolerant(runNameAddr) },
    { name: "via", corpus: lines("via"), run: tolerant(runVia) },
    { name: "cseq", corpus: lines("cseq"), run: tolerant(runCSeq) },
    { name: "message", corpus: whole, run: tolerant(runMessage) },
    { name: "stream", corpus: whole, run: runStream },
  ];
}

function tolerant(run: (input: Buffer) => void): (input: Buffer) => void {
  return (input) => {
    try {
      run(input);
    } catch (error) {
      if (!(error instanceof SipError)) throw error;
    }
  };
}

function check(holds: boolean, promise: string): void {
  if (!holds) throw new Error(`broken: ${promise}`);
}

function runStartLine(input: Buffer): void {
  const message = parseMessage(Buffer.concat([input, Buffer.from("\r\nCall-ID: 1\r\n\r\n")]));
  check(message.startLine.length <= input.length, "a start line is within its line");
}

function runHeader(input: Buffer): void {
  const [before, after] = [
    "OPTIONS sip:a@b SIP/2.0\r\nCall-ID: 1\r\n",
    "\r\nCSeq: 1 OPTIONS\r\n\r\n",
  ];
  const message = parseMessage(Buffer.concat([Buffer.from(before), input, Buffer.from(after)]));
  // It may be several lines, the end of the headers, or the continuation of the line before.
  if (/\n|^[ \t]|^\r?$/.test(input.toString("latin1"))) return;
  check(message.callId === "1", "a bad line leaves the one before alone");
  check(message.all("CSeq").at(-1) === "1 OPTIONS", "a bad line leaves the one after alone");
  runMessage(message.toBuffer());
}

function runUri(input: Buffer): void {
  const uri = parseUri(input.toString());
  check(isDeepStrictEqual(parseUri(formatUri(uri)), uri), "a URI survives being written");
  check(sameUri(uri, uri), "a URI equals itself");
}

function runNameAddr(input: Buffer): void {
  for (const element of splitList(input.toString())) {
    const address = parseNameAddr(element);
    const again = parseNameAddr(formatNameAddr(address));
    check(isDeepStrictEqual(again, address), "an address survives being written");
  }
}

function runVia(input: Buffer): void {
  const via = parseVia(input.toString());
  check(isDeepStrictEqual(parseVia(formatVia(via)), via), "a Via survives being written");
}

function runCSeq(input: Buffer): void {
  const { number } = parseCSeq(input.toString());
  check(Number.isInteger(number) && number >= 0 && number < 2 ** 31, "CSeq is in range");
}

function runMessage(input: Buffer): void {
  const message = parseMessage(input);
  const written = message.toBuffer();
  check(input.subarray(0, written.length).equals(written), "untouched bytes are kept");
  check(message.clone().toBuffer().equals(written), "a clone writes the same bytes");
  const fields = [...message.headers()];
  for (const [name, value] of fields) {
    check(message.all(name).includes(value), "every header is found by its own name");
  }
  checkEdited(message, fields);
  if (message instanceof SipRequest) checkAnswer(message);
}

/** A header added elsewhere changes none of the others. */
function checkEdited(message: SipMessage, fields: readonly [string, string][]): void {
  if (message.defect !== undefined) return;
  const edited = message.clone();
  edited.prepend("X-Fuzz", "1");
  const again = parseMessage(edited.toBuffer());
  const kept = comparable([...again.headers()]).filter(([name]) => name !== "X-Fuzz");
  check(isDeepStrictEqual(kept, comparable(fields)), "an edit leaves other headers alone");
  check(again.body.equals(message.body), "an edit leaves the body alone");
}

/** Without Content-Length, which an edit may add or put right. */
function comparable(fields: readonly [string, string][]): [string, string][] {
  return fields.filter(([name]) => !/^(?:content-length|l)$/i.test(name));
}

/** Whatever came, an answer can be made, and it can be read. */
function checkAnswer(request: SipRequest): void {
  const refusal = refusalFor(request);
  const answer = SipResponse.to(request, refusal?.status ?? 200, { ...refusal, toTag: "t" });
  check(parseMessage(answer.toBuffer()) instanceof SipResponse, "an answer can be read");
}

/** However the stream is cut, the same messages come out. */
function runStream(input: Buffer): void {
  const whole = frames(input, [input.length]);
  const third = Math.floor(input.length / 3);
  check(isDeepStrictEqual(frames(input, [1, third, 2 * third]), whole), "cuts do not matter");
}

function frames(input: Buffer, cuts: readonly number[]): string[] {
  const framer = new StreamFramer(DEFAULT_LIMITS);
  const out: string[] = [];
  let from = 0;
  for (const cut of [...cuts, input.length]) {
    const { messages: complete, broken } = framer.push(input.subarray(from, cut));
    out.push(...complete.map((bytes) => bytes.toString("latin1")));
    if (broken !== undefined) return [...out, broken.code];
    from = Math.max(from, cut);
  }
  return out;
}
