import { type Call, MEDIA_SUCCESS } from "./call.ts";
import type { Conversation } from "./conversation.ts";
import { strike } from "./fault-strike.ts";
import { Fields } from "./fields.ts";
import { readIdentifier } from "./identity.ts";
import { recordingId as newRecordingId } from "./ids.ts";
import type { Operation, OperationRequest, Reply } from "./operation.ts";
import { locate } from "./outgoing-operations.ts";
import { Recorder } from "./recording.ts";
import { contentReply, RecordingStore } from "./recording-store.ts";
import { refusal } from "./service-error.ts";
import type { Switchboard } from "./switchboard.ts";

const RECORDINGS = "/calling/recordings";
const KIND = "azureCommunicationServices";
/** Channels of an unmixed recording. */
const CHANNELS = 5;

interface Recording {
  readonly recordingId: string;
  readonly conversation: Conversation;
  /** Whose id the events carry; the recording lasts as long as the conversation. */
  readonly call: Call;
  readonly recorder: Recorder;
  readonly callbackUri: string | undefined;
  readonly apiVersion: string;
  readonly contentType: string;
  readonly channelType: string;
  readonly startDateTime: Date;
  state: "active" | "inactive";
  forget: () => void;
}

/** Recording operations, and the storage a finished recording is fetched from. */
export function recordingOperations(board: Switchboard): Operation[] {
  const desk = new RecordingDesk(board);
  const path = (rest = "") => new RegExp(`^${RECORDINGS}/([^/:]+)${rest}$`);
  const pause = (isPaused: boolean) => (request: OperationRequest) =>
    desk.pause(request.ids[0] ?? "", isPaused);
  return [
    {
      name: "StartRecording",
      method: "POST",
      path: new RegExp(`^${RECORDINGS}$`),
      isRepeatable: true,
      saysAccepted: true,
      handle: (request) => desk.start(request),
    },
    {
      name: "GetRecordingProperties",
      method: "GET",
      path: path(),
      handle: ({ ids: [id = ""] }) => desk.describe(id),
    },
    {
      name: "StopRecording",
      method: "DELETE",
      path: path(),
      handle: ({ ids: [id = ""] }) => desk.stop(id),
    },
    { name: "PauseRecording", method: "POST", path: path(":pause"), handle: pause(true) },
    { name: "ResumeRecording", method: "POST", path: path(":resume"), handle: pause(false) },
    ...storageOperations(desk.store),
  ];
}

function storageOperations(store: RecordingStore): Operation[] {
  const objects = "/v1/objects/([^/]+)";
  return [
    {
      name: "DownloadRecording",
      method: "GET",
      path: new RegExp(`^${objects}/content/(?:audio|video)$`),
      isUnversioned: true,
      handle: ({ ids: [id = ""], range }) =>
        contentReply(store.get(id).content, "audio/wav", range),
    },
    {
      name: "DownloadRecordingMetadata",
      method: "GET",
      path: new RegExp(`^${objects}/content/acsmetadata$`),
      isUnversioned: true,
      handle: ({ ids: [id = ""] }) => ({ status: 200, body: store.get(id).metadata }),
    },
    {
      name: "DeleteRecording",
      method: "DELETE",
      path: new RegExp(`^${objects}$`),
      isUnversioned: true,
      handle: ({ ids: [id = ""] }) => {
        store.delete(id);
        return { status: 200 };
      },
    },
  ];
}

/** The recordings that run, and those that are done. */
class RecordingDesk {
  readonly store = new RecordingStore();
  readonly #board: Switchboard;
  readonly #recordings = new Map<string, Recording>();

  constructor(board: Switchboard) {
    this.#board = board;
  }

  start({ body, apiVersion }: OperationRequest): Reply {
    const { core } = this.#board;
    const call = this.#callOf(body);
    const { conversation } = call;
    const { channelType, contentType } = readFormat(body);
    if (body.has("externalStorage")) {
      throw refusal.notSupported("Recording to external storage is not supported here.");
    }
    const hasCallback = body.has("recordingStateCallbackUri");
    const callbackUri = hasCallback
      ? core.urls.callback(body, "recordingStateCallbackUri")
      : undefined;
    const channelOrder = readChannelOrder(body);
    const isRunning = [...this.#recordings.values()].some(
      (recording) => recording.conversation === conversation,
    );
    if (isRunning) throw refusal.recordingStarted();
    const isPaused = body.flag("pauseOnStart");
    const recording: Recording = {
      recordingId: newRecordingId(core.ids),
      conversation,
      call,
      recorder: new Recorder({
        conversation,
        isUnmixed: channelType === "unmixed",
        channelOrder,
        isPaused,
        limitMs: core.policy.recordingLimitMs,
      }),
      callbackUri,
      apiVersion,
      contentType,
      channelType,
      startDateTime: core.clock.date(),
      state: "inactive",
      forget: () => {},
    };
    const reply: Reply = { status: 200, body: formatState(recording), call };
    this.#begin(recording, isPaused);
    return reply;
  }

  describe(id: string): Reply {
    const recording = this.#find(id);
    return { status: 200, body: formatState(recording), call: recording.call };
  }

  pause(id: string, isPaused: boolean): Reply {
    const recording = this.#find(id);
    recording.recorder.isPaused = isPaused;
    this.#move(recording, isPaused ? "inactive" : "active");
    return { status: 202, call: recording.call };
  }

  stop(id: string): Reply {
    const recording = this.#find(id);
    this.#finish(recording, "RecordingEnded");
    return { status: 204, call: recording.call };
  }

  /** The connection that is named, or the first of the call that is. */
  #callOf(body: Fields): Call {
    if (body.has("callConnectionId")) {
      return this.#board.findEstablished(body.text("callConnectionId"));
    }
    const locator = Fields.of(body.raw("callLocator"), "callLocator");
    const conversation = locate(this.#board, locator, (name) => this.#board.findMeeting(name));
    const first = [...conversation.connections].find((call) => call.isEstablished);
    if (first === undefined) throw refusal.notEstablished();
    return first;
  }

  #find(id: string): Recording {
    const recording = this.#recordings.get(id);
    if (recording === undefined) throw refusal.recordingNotFound();
    return recording;
  }

  #begin(recording: Recording, isPaused: boolean): void {
    const { core } = this.#board;
    if (strike(core, "acs.fail-recording", { call: recording.call.id }) !== undefined) {
      recording.recorder[Symbol.dispose]();
      const result = { code: 500, subCode: 9999, message: "Recording could not be started." };
      this.#report(recording, "StartRecordingFailed", { result });
      return;
    }
    this.#recordings.set(recording.recordingId, recording);
    const ended = () => this.#finish(recording, "SessionEnded");
    recording.forget = recording.conversation.onEnd(ended);
    core.background.run("start recording", async (signal) => {
      await core.clock.sleep(core.policy.recordingStartMs, { signal });
      if (this.#recordings.has(recording.recordingId) && !isPaused) this.#move(recording, "active");
    });
  }

  #move(recording: Recording, state: Recording["state"]): void {
    if (recording.state === state) return;
    recording.state = state;
    const data = {
      state,
      startDateTime: recording.startDateTime.toISOString(),
      recordingKind: KIND,
    };
    this.#report(recording, "RecordingStateChanged", { data });
  }

  #finish(recording: Recording, sessionEndReason: string): void {
    if (!this.#recordings.delete(recording.recordingId)) return;
    recording.forget();
    this.#move(recording, "inactive");
    recording.recorder[Symbol.dispose]();
    this.#publish(recording, sessionEndReason);
  }

  #report(
    recording: Recording,
    type: string,
    detail: { data?: Record<string, unknown>; result?: typeof MEDIA_SUCCESS },
  ): void {
    const { conversation, callbackUri, call, recordingId } = recording;
    if (callbackUri === undefined) return;
    const source = `calling/recordings/${conversation.serverCallId}/${recordingId}/${type}`;
    this.#board.core.callbacks.send({
      type,
      callConnectionId: call.id,
      serverCallId: conversation.serverCallId,
      correlationId: conversation.correlationId,
      version: recording.apiVersion,
      url: callbackUri,
      source,
      result: detail.result ?? MEDIA_SUCCESS,
      data: { eventSource: source, recordingId, ...detail.data },
    });
  }

  /** The file is ready: RecordingFileStatusUpdated by Event Grid. */
  #publish(recording: Recording, sessionEndReason: string): void {
    const { core } = this.#board;
    const { recorder, conversation, recordingId, channelType } = recording;
    const { durationMs } = recorder;
    const times = {
      recordingStartTime: recording.startDateTime.toISOString(),
      recordingDurationMs: durationMs,
    };
    const format = {
      recordingContentType: "Audio",
      recordingChannelType: channelType === "unmixed" ? "Unmixed" : "Mixed",
      recordingFormatType: "Wav",
    };
    const metadata = { callId: conversation.serverCallId, ...times, ...format };
    const chunk = this.store.add({ content: recorder.toWav(), metadata }, sessionEndReason);
    core.eventGrid.publish({
      type: "Microsoft.Communication.RecordingFileStatusUpdated",
      subject: `/recording/call/${conversation.serverCallId}/recordingId/${recordingId}`,
      data: {
        recordingStorageInfo: { recordingChunks: [chunk] },
        ...times,
        ...format,
        sessionEndReason,
      },
      call: recording.call.id,
    });
  }
}

function formatState({ recordingId, state }: Recording) {
  return { recordingId, recordingState: state, recordingKind: KIND };
}

/**
 * What is to be recorded. Not every combination exists (Microsoft: "Call Recording overview"):
 * unmixed is audio in WAV, video is MP4, and MP4 is video.
 */
function readFormat(body: Fields): Pick<Recording, "channelType" | "contentType"> {
  const channelType = body.choice("recordingChannelType", ["mixed", "unmixed"]) ?? "mixed";
  const content = body.choice("recordingContentType", ["audio", "audioVideo"]);
  const format = body.choice("recordingFormatType", ["wav", "mp3", "mp4"]);
  const isVideo = content === "audioVideo";
  if (channelType === "unmixed" && isVideo) throw refusal.invalidField("recordingChannelType");
  const allowed = channelType === "unmixed" ? ["wav"] : isVideo ? ["mp4"] : ["wav", "mp3"];
  const isFree = content === undefined && channelType === "mixed";
  if (format !== undefined && !isFree && !allowed.includes(format)) {
    throw refusal.invalidField("recordingFormatType");
  }
  return { channelType, contentType: content ?? "audioVideo" };
}

/** Who is on which channel: by `channelAffinity`, which may leave some free, else by ordering. */
function readChannelOrder(body: Fields): (string | undefined)[] {
  const ordered = body.list("audioChannelParticipantOrdering").map((value) => {
    return readIdentifier(value, "audioChannelParticipantOrdering").rawId;
  });
  const affinity = body.list("channelAffinity").map((value) => {
    const fields = Fields.of(value, "channelAffinity");
    const { rawId } = readIdentifier(fields.raw("participant"), "channelAffinity");
    return { rawId, channel: fields.count("channel", [0, CHANNELS - 1]) ?? 0 };
  });
  if (affinity.length === 0) return distinct(ordered, "audioChannelParticipantOrdering");
  distinct(
    affinity.map(({ rawId }) => rawId),
    "channelAffinity",
  );
  distinct(
    affinity.map(({ channel }) => channel),
    "channelAffinity",
  );
  const last = Math.max(...affinity.map(({ channel }) => channel));
  return Array.from(
    { length: last + 1 },
    (_, channel) => affinity.find((entry) => entry.channel === channel)?.rawId,
  );
}

/** The entries, at most one for each channel, or 400/8523 when one is there twice. */
function distinct<Entry>(entries: Entry[], name: string): Entry[] {
  if (new Set(entries).size === entries.length && entries.length <= CHANNELS) return entries;
  throw refusal.invalidField(name);
}
