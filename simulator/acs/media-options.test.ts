import { expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { Fields } from "./fields.ts";
import { readLocale, readMediaStreaming, readTranscription, UrlJudge } from "./media-options.ts";
import { Outbound } from "./outbound.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";

function judge(insecureCallbacks: Policy["insecureCallbacks"] = "loopback"): UrlJudge {
  const ingress = { "http://mapped.test": "http://127.0.0.1:8080" };
  const outbound = new Outbound({ clock: systemClock(), ingress });
  return new UrlJudge({ ...DEFAULT_POLICY, insecureCallbacks }, outbound);
}

const accepts = (urls: UrlJudge, url: string) => {
  try {
    return urls.callback(Fields.of({ callbackUri: url }), "callbackUri") === url;
  } catch {
    return false;
  }
};

test.each<[Policy["insecureCallbacks"], string, boolean]>([
  ["never", "https://app.test/cb", true],
  ["never", "http://127.0.0.1:1/cb", false],
  ["loopback", "http://127.0.0.1:1/cb", true],
  ["loopback", "http://localhost/cb", true],
  ["loopback", "http://[::1]:1/cb", true],
  ["loopback", "http://mapped.test/cb", true],
  ["loopback", "http://app.test/cb", false],
  ["loopback", "http://127.0.0.1.evil.test/cb", false],
  ["always", "http://app.test/cb", true],
  ["always", "ftp://app.test/cb", false],
  ["always", "ws://app.test/cb", false],
  ["always", "not a url", false],
])("with insecureCallbacks '%s' the callback %s is accepted: %s", (policy, url, expected) => {
  expect(accepts(judge(policy), url)).toBe(expected);
});

const streaming = (changes: object) =>
  Fields.of({
    mediaStreamingOptions: {
      transportType: "websocket",
      transportUrl: "wss://app.test/media",
      contentType: "audio",
      audioChannelType: "unmixed",
      ...changes,
    },
  });

test("media streaming options are read with their defaults, in any casing", () => {
  expect(readMediaStreaming(Fields.of({}), judge())).toBeUndefined();
  expect(readMediaStreaming(streaming({}), judge())).toEqual({
    transportUrl: "wss://app.test/media",
    isUnmixed: true,
    rateHz: 16_000,
    startsAtOnce: false,
    isBidirectional: false,
    sendsDigits: false,
  });
  const loud = streaming({
    audioFormat: "PCM24KMONO",
    audioChannelType: "Mixed",
    enableBidirectional: true,
  });
  expect(readMediaStreaming(loud, judge())).toMatchObject({
    isUnmixed: false,
    rateHz: 24_000,
    isBidirectional: true,
  });
});

test.each([
  [{ transportType: undefined }, "TransportType"],
  [{ transportUrl: undefined }, "TransportUrl"],
  [{ transportUrl: "ftp://app.test" }, "TransportUrl"],
  [{ contentType: "video" }, "ContentType"],
  [{ audioFormat: "pcm8KMono" }, "AudioFormat"],
  [{ audioChannelType: "stereo" }, "AudioChannelType"],
])("streaming options %j are refused for %s", (changes, name) => {
  expect(() => readMediaStreaming(streaming(changes), judge())).toThrow(
    `The field ${name} is invalid`,
  );
});

const transcription = (locale: string) =>
  Fields.of({
    transcriptionOptions: { transportType: "websocket", transportUrl: "wss://a.test", locale },
  });

test("transcription options need a locale with its region", () => {
  expect(readTranscription(transcription("en-US"), judge())).toMatchObject({ locale: "en-US" });
  expect(() => readTranscription(transcription("en"), judge())).toThrow(
    "The field Locale is invalid",
  );
  expect(readLocale(Fields.of({ locale: "zh-Hans-CN" }), "locale")).toBe("zh-Hans-CN");
});
