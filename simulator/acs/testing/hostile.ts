import { request as httpRequest } from "node:http";
import { contentHash, sign } from "../auth.ts";
import { seededIds } from "../ids.ts";
import { ACCESS_KEY, type TestLab } from "./lab.ts";

/** Requests the SDK really sends, as material for mutations; `ID` stands for a live call. */
const REQUESTS: readonly { method: string; path: string; body?: unknown }[] = [
  {
    method: "POST",
    path: "/calling/callConnections",
    body: {
      targets: [{ kind: "phoneNumber", phoneNumber: { value: "+14255550100" } }],
      sourceCallerIdNumber: { value: "+18005550100" },
      callbackUri: "https://app.example.test/cb",
    },
  },
  {
    method: "POST",
    path: "/calling/callConnections:answer",
    body: {
      incomingCallContext: "context",
      callbackUri: "https://app.example.test/cb",
      mediaStreamingOptions: {
        transportType: "websocket",
        transportUrl: "wss://app.example.test/",
      },
    },
  },
  {
    method: "POST",
    path: "/calling/callConnections/ID:transferToParticipant",
    body: {
      targetParticipant: { rawId: "4:+1", phoneNumber: { value: "12" } },
      customCallingContext: { sipHeaders: { "X-A": "b" }, voipHeaders: {} },
    },
  },
  {
    method: "POST",
    path: "/calling/callConnections/ID/participants:add",
    body: { participantToAdd: { rawId: "8:acs:a_b" }, invitationTimeoutInSeconds: 5 },
  },
  {
    method: "POST",
    path: "/calling/callConnections/ID:play",
    body: {
      playSources: [{ kind: "file", file: { uri: "http://127.0.0.1:1/a.wav" } }],
      playTo: [],
      playOptions: { loop: false },
    },
  },
  {
    method: "POST",
    path: "/calling/callConnections/ID:recognize",
    body: {
      recognizeInputType: "dtmf",
      recognizeOptions: {
        targetParticipant: { rawId: "4:+14255550100" },
        initialSilenceTimeoutInSeconds: 1,
        dtmfOptions: { maxTonesToCollect: 1, stopTones: ["pound"] },
      },
    },
  },
  {
    method: "POST",
    path: "/calling/recordings",
    body: { callLocator: { kind: "serverCallLocator", serverCallId: "x" }, channelAffinity: [{}] },
  },
  { method: "GET", path: "/calling/callConnections/ID/participants" },
  { method: "GET", path: "/calling/callConnections/ID/participants/4%3A%2B14255550100" },
  { method: "GET", path: "/calling/recordings/x" },
  { method: "POST", path: "/identities", body: { createTokenWithScopes: ["voip"] } },
];

const FRAMES: readonly string[] = [
  '{"kind":"audioData","audioData":{"data":"AAAAAAAAAAA=","isSilent":false},"stopAudio":{}}',
  '{"kind":"stopAudio","stopAudio":{}}',
  '{"Kind":"AudioData","AudioData":{"Data":"AAAA"},"StopAudio":null}',
  '{"kind":"mark","mark":{"sequence":"1"}}',
];

const JUNK: readonly unknown[] = [
  null,
  true,
  -1,
  1e308,
  "",
  "\u0000",
  "💥".repeat(50),
  "a".repeat(5000),
  "../../etc",
  "http://[::",
  "+1\r\nX-Evil: 1",
  [],
  {},
  [[[[[[]]]]]],
  { __proto__: null, constructor: 1 },
];

/** Seeded mutations: a run with the same seed attacks in the same way. */
export class Mutator {
  readonly #random: () => number;

  constructor(seed: number) {
    const ids = seededIds(seed);
    this.#random = () => ids.random();
  }

  pick<Item>(items: readonly [Item, ...Item[]] | readonly Item[]): Item {
    const item = items[Math.floor(this.#random() * items.length)];
    if (item === undefined && items.length === 0) throw new Error("nothing to pick from");
    return item as Item;
  }

  /** A value with one of its parts replaced, removed or added. */
  value(value: unknown): unknown {
    if (this.#random() < 0.2 || typeof value !== "object" || value === null) return this.pick(JUNK);
    const keys = Object.keys(value);
    const key = keys.length === 0 ? "extra" : this.pick(keys);
    const inner = Reflect.get(value, key);
    const changed = this.#random() < 0.1 ? undefined : this.value(inner);
    if (Array.isArray(value)) return value.map((item, at) => (String(at) === key ? changed : item));
    return { ...value, [key]: changed };
  }

  /** A text with some characters lost, doubled or replaced. */
  text(text: string): string {
    const at = Math.floor(this.#random() * (text.length + 1));
    const tail = text.slice(at + Math.floor(this.#random() * 4));
    return this.pick([
      text.slice(0, at),
      text.slice(0, at) + tail,
      text.slice(0, at) + this.pick(['"', "}", "\\", "\u0000", "%", "é", "//", ":"]) + tail,
      text + text,
    ]);
  }

  request(callConnectionId: string): { method: string; target: string; body: string } {
    const { method, path, body } = this.pick(REQUESTS);
    const whole = body === undefined ? "" : JSON.stringify(this.value(body));
    const isBroken = this.#random() < 0.2;
    const route = this.#random() < 0.2 ? this.text(path) : path;
    const plain = route.replaceAll(/[^\x21-\x7e]/g, "").replaceAll("ID", callConnectionId);
    const version = this.#random() < 0.05 ? "%zz" : "2026-03-12";
    return {
      method: this.#random() < 0.05 ? this.pick(["PUT", "PATCH", "DELETE", "OPTIONS"]) : method,
      target: `${plain.startsWith("/") ? "" : "/"}${plain}?api-version=${version}`,
      body: isBroken ? this.text(whole) : whole,
    };
  }

  frame(): string {
    return this.text(this.pick(FRAMES));
  }
}

/** Sends one request, signed as the SDK would; resolves with the status. */
export async function sendSigned(
  lab: TestLab,
  { method, target, body }: { method: string; target: string; body: string },
): Promise<number> {
  const { hostname, port, host } = new URL(lab.acs.url);
  const bytes = Buffer.from(body);
  const date = lab.clock.date().toUTCString();
  const hash = contentHash(bytes);
  const signature = sign(ACCESS_KEY, { method, target, date, host, hash });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const request = httpRequest({
    hostname,
    port,
    method,
    path: target,
    headers: {
      "content-type": "application/json",
      "content-length": bytes.length,
      "x-ms-date": date,
      "x-ms-content-sha256": hash,
      authorization: `HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=${signature}`,
    },
  });
  request.on("response", (response) => {
    response.resume();
    response.on("end", () => resolve(response.statusCode ?? 0));
  });
  request.on("error", reject);
  request.end(bytes);
  return promise;
}
