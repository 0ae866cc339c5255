import { describe, expect, test } from "vitest";
import { manualClock, systemClock } from "../clock.ts";
import { resample } from "./resample.ts";
import { parseReport } from "./rtcp.ts";
import { formatRtp, type RtpPacket } from "./rtp.ts";
import {
  connect,
  find,
  openLeg,
  playPiece,
  RATE_HZ,
  sdpTo,
  speechLike,
  wirePeer,
} from "./testing/leg.ts";

describe("a loopback call", () => {
  test.for(["off", "required"] as const)(
    "with SRTP %s carries ten seconds unchanged",
    async (srtp) => {
      const clock = manualClock();
      await using caller = await openLeg(clock, { srtp });
      await using callee = await openLeg(clock, { srtp });
      connect(caller, callee);
      const said = speechLike(10);
      expect(await playPiece(clock, caller, said)).toEqual({ playedMs: 10_000 });

      const { ncc, atMs } = find(said, callee.heard.audio().samples);
      expect(ncc).toBeGreaterThan(0.999);
      expect(atMs).toBeLessThanOrEqual(80);
      expect(callee.statistics().received).toMatchObject({
        packets: 510,
        lost: 0,
        late: 0,
        longestGapMs: 0,
        concealedMs: 0,
      });
      expect(callee.frames.length).toBe(510);
      expect(callee.frames.some(({ concealed }) => concealed)).toBe(false);
      const steps = callee.frames
        .slice(1)
        .map(({ atMs: at }, n) => at - (callee.frames[n]?.atMs ?? 0));
      expect(new Set(steps)).toEqual(new Set([20]));
    },
  );

  test("in real time carries a second without a gap", async () => {
    const clock = systemClock();
    await using caller = await openLeg(clock, { srtp: "required" });
    await using callee = await openLeg(clock, { srtp: "required" });
    connect(caller, callee);
    const said = speechLike(1);
    await caller.play({ samples: said, rateHz: RATE_HZ });
    await clock.sleep(150);
    expect(find(said, callee.heard.audio().samples).ncc).toBeGreaterThan(0.999);
    expect(callee.statistics().received).toMatchObject({ lost: 0, late: 0, longestGapMs: 0 });
  });
});

describe("audio out", () => {
  test("streamed audio at 24 kHz in frames of 20 ms comes out whole", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock);
    await using callee = await openLeg(clock);
    connect(caller, callee);
    const tone = Int16Array.from({ length: 24_000 }, (_, n) => 8_000 * Math.sin(n * 0.1));
    for (let at = 0; at < tone.length; at += 480) {
      caller.write(tone.subarray(at, at + 480), 24_000);
      await clock.advance(20);
    }
    await clock.advance(200);
    const said = resample(tone, 24_000, RATE_HZ);
    expect(find(said, callee.heard.audio().samples, 1).ncc).toBeGreaterThan(0.999);
  });

  test("an aborted piece stops, reports what was played, and lets the next one follow", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock);
    await using callee = await openLeg(clock);
    connect(caller, callee);
    const abort = new AbortController();
    const piece = { samples: new Int16Array(RATE_HZ).fill(1_000), rateHz: RATE_HZ };
    const first = caller.play(piece, { signal: abort.signal });
    await clock.advance(100);
    abort.abort();
    expect(await first).toEqual({ playedMs: 100 });
    expect(caller.queuedMs).toBe(0);
    expect(await caller.play(piece, { signal: abort.signal })).toEqual({ playedMs: 0 });
    const second = caller.play(piece);
    await clock.advance(300);
    expect(caller.flush()).toBe(700);
    expect(await second).toEqual({ playedMs: 300 });
  });

  test("silence keeps fifty packets a second flowing", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock);
    await using callee = await openLeg(clock);
    connect(caller, callee);
    await clock.advance(2_000);
    expect(callee.statistics().received).toMatchObject({ packets: 100, bytes: 16_000 });
  });

  test("a held leg sends nothing, and goes on afterwards under the same key", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock, { srtp: "required" });
    await using callee = await openLeg(clock, { srtp: "required" });
    connect(caller, callee);
    await clock.advance(500);
    caller.accept(callee.answer(caller.offer({ direction: "inactive" })));
    expect([caller, callee].map(({ negotiated }) => negotiated?.direction)).toEqual([
      "inactive",
      "inactive",
    ]);
    const before = callee.statistics().received.packets;
    await clock.advance(10_000);
    expect(callee.statistics().received.packets).toBe(before);
    connect(caller, callee);
    const said = speechLike(1);
    await playPiece(clock, caller, said);
    expect(find(said, callee.heard.audio().samples.subarray(10_000 * 8)).ncc).toBeGreaterThan(
      0.999,
    );
    expect(callee.statistics().received).toMatchObject({
      longestGapMs: 0,
      rejected: { authentication: 0, replayed: 0 },
    });
  });

  test("A-law is spoken where it is the peer's choice", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock);
    await using callee = await openLeg(clock, { codecs: ["PCMA"] });
    connect(caller, callee);
    expect(caller.negotiated?.codec).toBe("PCMA");
    const said = speechLike(1);
    await playPiece(clock, caller, said);
    expect(find(said, callee.heard.audio().samples).ncc).toBeGreaterThan(0.999);
  });
});

describe("keys", () => {
  test("each press is heard and traced once on either side", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock);
    await using callee = await openLeg(clock);
    connect(caller, callee);
    const pressing = caller.sendDigits("1234567890*#");
    await clock.advance(12 * 160 + 100);
    await pressing;
    expect(callee.digits.join("")).toBe("1234567890*#");
    expect(caller.events.filter(({ type }) => type === "dtmf").length).toBe(12);
    expect(callee.events.filter(({ type }) => type === "dtmf").length).toBe(12);
    expect(callee.statistics().received).toMatchObject({ concealedMs: 0, lost: 0 });
  });

  test("a peer without telephone events cannot be pressed keys for", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock);
    caller.answer(sdpTo("m=audio 9 RTP/AVP 0"));
    await expect(caller.sendDigits("1")).rejects.toThrow("the peer takes no telephone-event");
  });

  test("an aborted series leaves the one that waits behind it alone", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock);
    await using callee = await openLeg(clock);
    connect(caller, callee);
    const abort = new AbortController();
    const first = caller.sendDigits("12", { signal: abort.signal });
    const second = caller.sendDigits("34");
    const refused = first.catch(({ message }: Error) => message);
    await clock.advance(10);
    abort.abort(new Error("enough"));
    expect(await refused).toBe("enough");
    await clock.advance(1_000);
    await second;
    expect(callee.digits.join("")).toMatch(/34$/);
  });

  test("an aborted series ends and rejects with the signal's reason", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock);
    await using callee = await openLeg(clock);
    connect(caller, callee);
    const abort = new AbortController();
    const pressing = caller.sendDigits("12", { signal: abort.signal });
    const hangUp = async () => {
      await clock.advance(60);
      abort.abort(new Error("hung up"));
    };
    await Promise.all([expect(pressing).rejects.toThrow("hung up"), hangUp()]);
    await clock.advance(500);
    expect(callee.digits.join("")).toBe("1");
  });
});

describe("on the wire", () => {
  test("packets are numbered, marked at the start and stamped 160 apart", async () => {
    const clock = manualClock();
    await using peer = await wirePeer();
    await using session = await openLeg(clock, {
      random: (length) => new Uint8Array(length).fill(7),
    });
    session.answer(sdpTo(`m=audio ${peer.port} RTP/AVP 0`));
    await clock.advance(60);
    const packets = await peer.take(3);
    expect(packets).toMatchObject([
      { sequence: 0x0707, timestamp: 0x070707a7, ssrc: 0x07070707, marker: true, payloadType: 0 },
      { sequence: 0x0708, timestamp: 0x07070847, marker: false },
      { sequence: 0x0709, timestamp: 0x070708e7, marker: false },
    ]);
    expect(Buffer.from(packets[0]?.payload ?? []).equals(Buffer.alloc(160, 0xff))).toBe(true);
  });

  test("reports flow both ways and tell each side what the other lost", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock, { srtp: "required" });
    await using callee = await openLeg(clock, { srtp: "required" });
    connect(caller, callee);
    await clock.advance(7_000);
    const { peer, quality } = caller.statistics().sent;
    expect(peer).toMatchObject({ lost: 0, fractionLost: 0 });
    expect(peer?.roundTripMs).toBeLessThan(50);
    expect(quality?.r).toBeGreaterThan(85);
  });

  test("the end is said by an RTCP goodbye", async () => {
    const clock = manualClock();
    await using peer = await wirePeer();
    const session = await openLeg(clock);
    session.answer(sdpTo(`m=audio ${peer.port} RTP/AVP 0`, "a=rtcp-mux"));
    await session[Symbol.asyncDispose]();
    const [goodbye] = await peer.takeRaw(1);
    expect(goodbye && parseReport(goodbye)?.bye).toBe(true);
    await session[Symbol.asyncDispose]();
    expect(session.events.map((event) => ("kind" in event ? event.kind : ""))).toEqual([
      "started",
      "stopped",
    ]);
  });

  test("rubbish, strangers' payload types and foreign keys are counted and go no further", async () => {
    const clock = manualClock();
    await using peer = await wirePeer();
    await using session = await openLeg(clock);
    const packets: RtpPacket[] = [];
    session.onPacket((packet) => packets.push(packet));
    session.answer(
      sdpTo(`m=audio ${peer.port} RTP/AVP 0 101`, "a=rtpmap:101 telephone-event/8000"),
    );
    const packet = {
      marker: false,
      sequence: 1,
      timestamp: 0,
      ssrc: 1,
      payload: Buffer.alloc(160),
    };
    await peer.send(session.address.port, [
      Buffer.from("hello"),
      Buffer.from("80c8ffff00000000", "hex"),
      formatRtp({ ...packet, payloadType: 18 }),
      formatRtp({ ...packet, payloadType: 101, sequence: 2, payload: Buffer.alloc(3) }),
      formatRtp({ ...packet, payloadType: 0, sequence: 3 }),
      formatRtp({ ...packet, payloadType: 0, sequence: 3 }),
    ]);
    while (packets.length < 2) await clock.advance(1);
    await clock.advance(5);
    expect(session.statistics().received).toMatchObject({
      duplicated: 1,
      rejected: { malformed: 3, authentication: 0, replayed: 0, unexpected: 1 },
    });
  });

  test("SRTP under another key is refused", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock, { srtp: "required" });
    await using callee = await openLeg(clock, { srtp: "required" });
    const answer = callee.answer(caller.offer());
    caller.accept(answer.replace(/inline:.{4}/, "inline:AAAA"));
    await clock.advance(200);
    expect(caller.statistics().received).toMatchObject({ packets: 0, rejected: { replayed: 0 } });
    expect(caller.statistics().received.rejected.authentication).toBeGreaterThan(5);
    expect(callee.statistics().received.rejected.authentication).toBe(0);
  });

  test("closing leaves no timer and ends what is waited for", async () => {
    const clock = manualClock();
    const session = await openLeg(clock);
    session.answer(sdpTo("m=audio 9 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000"));
    const playing = session.play({ samples: new Int16Array(8_000), rateHz: RATE_HZ });
    const pressing = session.sendDigits("1");
    const closing = session[Symbol.asyncDispose]();
    await expect(pressing).rejects.toThrow('the leg ended before "1" was pressed');
    await closing;
    expect(await playing).toEqual({ playedMs: 0 });
    await expect(session.sendDigits("1")).rejects.toThrow("the leg has ended");
    expect(clock.pending).toBe(0);
    expect(await session.play({ samples: new Int16Array(8), rateHz: RATE_HZ })).toEqual({
      playedMs: 0,
    });
    session.write(new Int16Array(8), RATE_HZ);
    expect(session.queuedMs).toBe(0);
  });
});

// The suite's own leak check looks for the socket.
test("an address that is not this machine's is refused, and nothing stays open", async () => {
  await expect(openLeg(manualClock(), { host: "192.0.2.1" })).rejects.toMatchObject({
    code: "EADDRNOTAVAIL",
  });
});
