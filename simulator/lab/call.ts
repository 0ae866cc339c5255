import type { Clock } from "../clock.ts";
import { type Audio, FRAME_MS } from "../media/frame.ts";
import { legAudio, type Recording } from "../media/recording.ts";
import { readWav, writeWav } from "../media/wav.ts";
import type { PhoneCall } from "../phone/phone-call.ts";
import type { PartyTrace } from "../trace.ts";
import type { Voices } from "./voices.ts";

/** A recording with the lab time of its first sample. */
export interface TimedRecording extends Audio {
  readonly startedAtMs: number;
}

/** One person's end of a call in the lab: a phone's call with an ear on it. */
export interface LabCall extends AsyncDisposable {
  readonly party: "phone" | "human";
  /** The Call-ID of this end's dialog; the trace's `call` of what this end hears. */
  readonly id: string;
  /** Aborted when the call is over; the reason says who ended it. */
  readonly ended: AbortSignal;
  /** Where audio was missing and made up, in lab time; consecutive frames are one gap. */
  readonly gaps: readonly Gap[];
  /** Speaks a text, or plays a WAV file if the text is the path of one. */
  say(text: string, options?: { signal?: AbortSignal }): Promise<void>;
  /** Plays a WAV file that no ear knows the words of: a tone, a cough. */
  play(file: string, options?: { signal?: AbortSignal }): Promise<void>;
  press(digits: string, options?: { signal?: AbortSignal }): Promise<void>;
  hangUp(): Promise<void>;
  /** Rejects with {@link CallStillUp} when nobody hung up in time. */
  waitForEnd(options: { timeoutMs: number; signal?: AbortSignal }): Promise<void>;
  said(): TimedRecording;
  heard(): TimedRecording;
}

/** A stretch of audio that did not arrive in time. */
export interface Gap {
  readonly startMs: number;
  readonly endMs: number;
}

/** More are not kept: a call with so many has shown what it is. */
const GAP_LIMIT = 10_000;

/** Collects the gaps of one leg, frame by frame. */
function collectGaps(call: PhoneCall): { readonly runs: readonly Gap[]; stop(): void } {
  const runs: { startMs: number; endMs: number }[] = [];
  const stop = call.session.onFrame(({ concealed = false, atMs }) => {
    const last = runs.at(-1);
    if (!concealed || runs.length >= GAP_LIMIT) return;
    // Frames come every 20 ms; half a frame of slack joins neighbours.
    if (last !== undefined && atMs - last.endMs < FRAME_MS / 2) last.endMs = atMs + FRAME_MS;
    else runs.push({ startMs: atMs, endMs: atMs + FRAME_MS });
  });
  return { runs, stop };
}

export class CallStillUp extends Error {
  override readonly name = "CallStillUp";
  readonly code = "CALL_STILL_UP";
}

export interface LabCallOptions {
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly voices: Voices;
  readonly party: "phone" | "human";
  /** The voice this person speaks with. */
  readonly voice: string;
  readonly call: PhoneCall;
  /** False: no ear; the recording tells afterwards what was heard. Default true. */
  readonly listens?: boolean;
  /** Where the recording goes at the end: said left, heard right, on one time line. */
  readonly recordingFile?: string;
}

export function openLabCall(options: LabCallOptions): LabCall {
  const { clock, trace, voices, party, voice, call, recordingFile, listens = true } = options;
  const ear = listens ? voices.listenTo(call.session, trace, call.callId) : undefined;
  const gaps = collectGaps(call);
  const over = new AbortController();
  // The last words come out of the recogniser after the call: it is over when they have.
  const heardAll = hearOut();
  const { said, heard } = call.session;

  async function hearOut(): Promise<void> {
    const { by, reason } = await call.ended;
    try {
      await ear?.finish();
    } finally {
      over.abort(new Error(`ended by the ${by} side${reason === undefined ? "" : `: ${reason}`}`));
    }
  }
  // Told when the call is disposed of; until then nobody may be waiting.
  heardAll.catch(() => {});

  const audioFor = (text: string) =>
    text.endsWith(".wav") ? voices.recording(text, text) : voices.audioOf(text, voice);

  return {
    party,
    id: call.callId,
    ended: over.signal,
    gaps: gaps.runs,
    async say(text, say) {
      await call.say(await audioFor(text), say);
    },
    async play(file, play) {
      await call.say(await readWav(file), play);
    },
    press: (digits, press) => call.press(digits, press),
    hangUp: () => call.hangUp(),
    waitForEnd: (wait) => waitForEnd(over.signal, clock, wait),
    said: () => timed(said),
    heard: () => timed(heard),
    async [Symbol.asyncDispose]() {
      await call[Symbol.asyncDispose]();
      gaps.stop();
      await heardAll;
      await ear?.[Symbol.asyncDispose]();
      if (recordingFile !== undefined) {
        await writeWav(recordingFile, legAudio(said, heard));
      }
    },
  };
}

async function waitForEnd(
  over: AbortSignal,
  clock: Clock,
  { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal },
): Promise<void> {
  const waiting = new AbortController();
  const wake = () => waiting.abort();
  over.addEventListener("abort", wake, { once: true });
  try {
    if (over.aborted) return;
    const signals = signal === undefined ? [waiting.signal] : [waiting.signal, signal];
    await clock.sleep(timeoutMs, { signal: AbortSignal.any(signals) });
  } catch (error) {
    if (over.aborted) return;
    throw error;
  } finally {
    over.removeEventListener("abort", wake);
  }
  throw new CallStillUp(`the call is still up after ${timeoutMs} ms`);
}

function timed(recording: Recording): TimedRecording {
  return { ...recording.audio(), startedAtMs: recording.startedAtMs ?? 0 };
}
