import { parentPort } from "node:worker_threads";
import { loadFlite, type SentenceRequest, type SynthesisedSentence } from "./flite.ts";

/** The main thread asks; the answer carries the same serial number. */
export type SynthesisJob = { serial: number } & SentenceRequest;
export type SynthesisAnswer =
  | ({ serial: number } & SynthesisedSentence)
  | { serial: number; error: string };

const flite = loadFlite();
parentPort?.on("message", (job: SynthesisJob) => {
  try {
    const sentence = flite.synthesise(job);
    const answer: SynthesisAnswer = { serial: job.serial, ...sentence };
    parentPort?.postMessage(answer, [sentence.samples.buffer]);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const answer: SynthesisAnswer = { serial: job.serial, error: message };
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread, not a window
    parentPort?.postMessage(answer);
  }
});
