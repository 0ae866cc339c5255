import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { NUMBERS } from "../lab/numbers.ts";
import type { CallNews, CallOrder, ControlAddress } from "./control.ts";
import { positiveInteger, readArguments, UsageError } from "./usage.ts";

/** `linecheck call`: one call from the terminal into the lab that is up; prints what is heard. */
export async function call(args: string[]): Promise<number> {
  const { values, positionals } = readArguments({
    args,
    allowPositionals: true,
    options: {
      from: { type: "string", default: "+14255550100" },
      press: { type: "string" },
      say: { type: "string", multiple: true, default: [] },
      wav: { type: "string", multiple: true, default: [] },
      seconds: { type: "string", default: "20" },
      out: { type: "string", default: "out" },
    },
  });
  const [number = NUMBERS.service] = positionals;
  const order: CallOrder = {
    number: phoneNumber("the number to call", number),
    from: phoneNumber("--from", values.from),
    ...(values.press === undefined ? {} : { press: digits(values.press) }),
    say: [...values.say, ...values.wav.map(wavFile)],
    lengthMs: positiveInteger("--seconds", values.seconds) * 1000,
  };
  const { url, token } = readState(resolve(values.out));
  const response = await fetch(`${url}/calls`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify(order),
  }).catch((error: unknown) => {
    throw new UsageError(`no lab is up: nothing answers at ${url}`, { cause: error });
  });
  if (!response.ok) throw new UsageError(`${url} is not this lab: it answers ${response.status}`);
  return printNews(response);
}

/** Prints each line as it comes; the exit code says whether the call was made. */
async function printNews(response: Response): Promise<number> {
  let failed = false;
  let rest = "";
  const text = response.body?.pipeThrough(new TextDecoderStream()) ?? [];
  for await (const part of text) {
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      // Each line is written by control.ts.
      const news = JSON.parse(line) as CallNews;
      failed ||= news.kind === "failed";
      process.stdout.write(`${newsText(news)}\n`);
    }
  }
  return failed ? 1 : 0;
}

function newsText(news: CallNews): string {
  switch (news.kind) {
    case "connected":
      return `connected  ${news.callId}`;
    case "ended":
    case "failed":
      return `${news.kind.padEnd(9)}  ${news.reason}`;
    default:
      return `${news.kind.padEnd(9)}  ${news.text}`;
  }
}

function phoneNumber(what: string, text: string): string {
  if (/^\+\d{7,15}$/.test(text)) return text;
  throw new UsageError(
    `${what}: expected E.164 such as ${NUMBERS.service}, got ${JSON.stringify(text)}`,
  );
}

function digits(text: string): string {
  if (/^[\d*#A-D]{1,32}$/.test(text)) return text;
  throw new UsageError(`--press: expected keys 0-9 * # A-D, got ${JSON.stringify(text)}`);
}

function wavFile(path: string): string {
  const file = resolve(path);
  if (existsSync(file) && file.endsWith(".wav")) return file;
  throw new UsageError(`--wav: no such .wav file: ${path}`);
}

function readState(out: string): ControlAddress {
  const file = join(out, "lab.json");
  if (!existsSync(file)) {
    throw new UsageError(`no lab is up: ${file} does not exist (start one with linecheck up)`);
  }
  // Written by `linecheck up`.
  return JSON.parse(readFileSync(file, "utf8")) as ControlAddress;
}
