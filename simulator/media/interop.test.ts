import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { compareAudio } from "./quality.ts";
import type { MediaSession } from "./session.ts";
import { openLeg, RATE_HZ, sdpTo, speechLike, wirePeer } from "./testing/leg.ts";
import { readWav, writeWav } from "./wav.ts";

/** Programs nobody here wrote, where they are installed. */
const installed = (program: string, argument: string) =>
  spawnSync(program, [argument], { stdio: "ignore" }).error === undefined;
const hasFfmpeg = installed("ffmpeg", "-version");
const hasSipp = installed("sipp", "-v");

const KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const SUITE = "AES_CM_128_HMAC_SHA1_80";
const speech = { samples: speechLike(1), rateHz: RATE_HZ };

describe.skipIf(!hasFfmpeg).concurrent("with ffmpeg (skipped where it is not installed)", () => {
  test("its RTP is understood", async () => {
    await using session = await openLeg(systemClock());
    session.answer(sdpTo("m=audio 9 RTP/AVP 0"));
    await sendFrom(session, ["-f", "rtp", `rtp://127.0.0.1:${session.address.port}?pkt_size=172`]);
    expect(heardBy(session)).toEqual(CLEAR);
  });

  test("its SRTP is understood", async () => {
    await using session = await openLeg(systemClock(), { srtp: "required" });
    session.answer(sdpTo("m=audio 9 RTP/SAVP 0", `a=crypto:1 ${SUITE} inline:${KEY}`));
    const keys = ["-srtp_out_suite", SUITE, "-srtp_out_params", KEY];
    const target = `srtp://127.0.0.1:${session.address.port}?pkt_size=182`;
    await sendFrom(session, ["-f", "rtp", ...keys, target]);
    expect(heardBy(session)).toEqual(CLEAR);
  });

  test("it understands our SRTP, by our own SDP", async () => {
    await using folder = await temporaryFolder();
    const port = await freePort();
    const clock = systemClock();
    await using session = await openLeg(clock, { srtp: "required" });
    const crypto = `a=crypto:1 ${SUITE} inline:${KEY}`;
    const answer = session.answer(sdpTo(`m=audio ${port} RTP/SAVP 0`, crypto));
    const sdp = join(folder.path, "leg.sdp");
    const wav = join(folder.path, "leg.wav");
    // The receiver's view: our key, without the lifetime that ffmpeg cannot read, and its own port.
    await writeFile(sdp, answer.replace(/m=audio \d+/, `m=audio ${port}`).replace("|2^31", ""));
    const whitelist = ["-protocol_whitelist", "file,udp,rtp,srtp"];
    const receiver = ffmpeg([...whitelist, "-i", sdp, "-t", "2", "-y", wav]);
    // It writes its file's header when it has understood the first packets.
    while (!existsSync(wav)) await clock.sleep(20);
    await session.play(speech);
    await once(receiver, "exit");
    expect(compareAudio(speech, await readWav(wav)).correlation).toBeGreaterThan(0.99);
  });
});

describe.skipIf(!hasSipp)("with sipp (skipped where it is not installed)", () => {
  test("what its RTP echo sends back is what was said", async () => {
    const [port, sipPort] = [await freePort(), await freePort()];
    const options = ["-sn", "uas", "-rtp_echo", "-nostdin", "-i", "127.0.0.1"];
    const sipp = spawn("sipp", [...options, "-p", `${sipPort}`, "-mp", `${port}`], {
      stdio: "ignore",
    });
    const clock = systemClock();
    await using session = await openLeg(clock);
    session.answer(sdpTo(`m=audio ${port} RTP/AVP 0`));
    try {
      while (session.statistics().received.packets < 10) await clock.sleep(20);
      await session.play(speech);
      await clock.sleep(150);
    } finally {
      sipp.kill();
      await once(sipp, "exit");
    }
    expect(heardBy(session)).toEqual(CLEAR);
  });
});

/** ffmpeg plays the speech to the leg in real time. */
async function sendFrom(session: MediaSession, output: string[]): Promise<void> {
  await using folder = await temporaryFolder();
  const wav = join(folder.path, "speech.wav");
  await writeWav(wav, speech);
  const sender = ffmpeg(["-re", "-i", wav, "-acodec", "pcm_mulaw", "-ar", "8000", ...output]);
  await once(sender, "exit");
  await systemClock().sleep(150);
  expect(session.statistics().received.packets).toBeGreaterThan(45);
}

/** How well the speech was heard, with the figures of its packets. */
function heardBy(session: MediaSession) {
  const { lost, rejected } = session.statistics().received;
  const { correlation, stoi = 0 } = compareAudio(speech, session.heard.audio());
  // A busy machine may make the other program late once; that is not what is tested here.
  const isClear = correlation > 0.95 && stoi > 0.9;
  return {
    isClear,
    lost,
    refused: rejected.authentication + rejected.replayed,
  };
}

const CLEAR = { isClear: true, lost: 0, refused: 0 };

function ffmpeg(options: string[]): ChildProcess {
  return spawn("ffmpeg", ["-nostdin", "-loglevel", "error", ...options], { stdio: "ignore" });
}

async function freePort(): Promise<number> {
  await using peer = await wirePeer();
  return peer.port;
}

async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), "media-"));
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true });
    },
  };
}
