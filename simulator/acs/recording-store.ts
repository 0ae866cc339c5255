import { randomBytes } from "node:crypto";
import type { Reply } from "./operation.ts";
import { refusal, ServiceError } from "./service-error.ts";

/** Where the SDK fetches recordings from: one of the three suffixes it accepts. */
const STORAGE_HOST = "us-storage.asm.skype.com";
const STORED_RECORDINGS = 100;

/** A finished recording. */
export interface StoredRecording {
  readonly content: Buffer;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Locations of a stored recording, as RecordingFileStatusUpdated names them. */
export interface RecordingChunk {
  readonly documentId: string;
  readonly index: number;
  readonly endReason: string;
  readonly contentLocation: string;
  readonly metadataLocation: string;
  readonly deleteLocation: string;
}

/** Finished recordings, in memory; the oldest goes when there are too many. */
export class RecordingStore {
  readonly #documents = new Map<string, StoredRecording>();

  add(recording: StoredRecording, endReason: string): RecordingChunk {
    const documentId = `0-eus-d12-${randomBytes(16).toString("hex")}`;
    this.#documents.set(documentId, recording);
    const [oldest] = this.#documents.keys();
    if (this.#documents.size > STORED_RECORDINGS && oldest !== undefined) {
      this.#documents.delete(oldest);
    }
    const deleteLocation = `https://${STORAGE_HOST}/v1/objects/${documentId}`;
    return {
      documentId,
      index: 0,
      endReason,
      contentLocation: `${deleteLocation}/content/audio`,
      metadataLocation: `${deleteLocation}/content/acsmetadata`,
      deleteLocation,
    };
  }

  get(documentId: string): StoredRecording {
    const recording = this.#documents.get(documentId);
    if (recording === undefined) throw refusal.recordingNotFound();
    return recording;
  }

  delete(documentId: string): void {
    if (!this.#documents.delete(documentId)) throw refusal.recordingNotFound();
  }
}

/** The whole content, or the part a Range header asks for (RFC 9110 §14.2, one range). */
export function contentReply(content: Buffer, contentType: string, range?: string): Reply {
  const headers = { "Content-Type": contentType, "Accept-Ranges": "bytes" };
  if (range === undefined) return { status: 200, bytes: content, headers };
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range) ?? [];
  const from = Number(first);
  const to = Math.min(last === "" ? Number.POSITIVE_INFINITY : Number(last), content.length - 1);
  if (first === undefined || from > to) {
    throw new ServiceError(416, "InvalidRange", `The range ${range} cannot be satisfied.`);
  }
  return {
    status: 206,
    bytes: content.subarray(from, to + 1),
    headers: { ...headers, "Content-Range": `bytes ${from}-${to}/${content.length}` },
  };
}
