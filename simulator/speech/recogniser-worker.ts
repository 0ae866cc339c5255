import { parentPort } from "node:worker_threads";
import { type EarEvent, Listener } from "./listener.ts";
import { type Enrolment, makeTemplate, type Template } from "./template.ts";

export type RecogniserJob =
  | { job: "enrol"; serial: number; enrolment: Enrolment }
  | { job: "listen"; ear: number; segmentationSilenceMs: number }
  | { job: "accept"; ear: number; samples: Int16Array; rateHz: number }
  | { job: "finish"; ear: number; serial: number }
  | { job: "close"; ear: number };

export type RecogniserAnswer =
  | { answer: "done"; serial: number }
  | { answer: "event"; ear: number; event: EarEvent };

/** The longest unused goes first. */
const LIMIT_TEMPLATES = 2000;

const templates: Template[] = [];
const listeners = new Map<number, Listener>();

function send(answer: RecogniserAnswer): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread, not a window
  parentPort?.postMessage(answer);
}

function enrol(enrolment: Enrolment): void {
  const template = makeTemplate(enrolment);
  if (template === undefined) return;
  templates.push(template);
  if (templates.length > LIMIT_TEMPLATES) templates.shift();
}

function perform(job: RecogniserJob): void {
  switch (job.job) {
    case "enrol":
      enrol(job.enrolment);
      send({ answer: "done", serial: job.serial });
      break;
    case "listen": {
      const { ear, segmentationSilenceMs } = job;
      const emit = (event: EarEvent) => send({ answer: "event", ear, event });
      listeners.set(ear, new Listener(templates, { segmentationSilenceMs, emit }));
      break;
    }
    case "accept":
      listeners.get(job.ear)?.accept(job.samples, job.rateHz);
      break;
    case "finish":
      listeners.get(job.ear)?.finish();
      send({ answer: "done", serial: job.serial });
      break;
    case "close":
      listeners.delete(job.ear);
      break;
  }
}

parentPort?.on("message", perform);
