import { parentPort } from "node:worker_threads";
import type { Expectation } from "./expectation.ts";
import { type EarEvent, Listener } from "./listener.ts";
import { type Enrolment, makeTemplate, type Template } from "./template.ts";

export type RecogniserJob =
  | { job: "enrol"; serial: number; enrolment: Enrolment }
  | ({ job: "listen"; ear: number; segmentationSilenceMs: number; progress: boolean } & Expectation)
  | { job: "accept"; ear: number; samples: Int16Array; rateHz: number }
  | { job: "finish"; ear: number; serial: number }
  | { job: "close"; ear: number };

export type RecogniserAnswer =
  | { answer: "done"; serial: number }
  | { answer: "event"; ear: number; event: EarEvent }
  | { answer: "progress"; ear: number; heardMs: number };

/** The longest unused goes first. */
const LIMIT_TEMPLATES = 2000;

const templates: Template[] = [];
const listeners = new Map<number, { listener: Listener; progress: boolean }>();

/** Crossing to the other thread costs, so answers go together; but an event waits for no other ear. */
let answers: RecogniserAnswer[] = [];

function send(answer: RecogniserAnswer): void {
  answers.push(answer);
}

function post(): void {
  const told = answers;
  answers = [];
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread, not a window
  if (told.length > 0) parentPort?.postMessage(told);
}

function enrol(enrolment: Enrolment): void {
  const template = makeTemplate(enrolment);
  if (template === undefined) return;
  templates.push(template);
  if (templates.length > LIMIT_TEMPLATES) templates.shift();
}

function accept({ ear, samples, rateHz }: Extract<RecogniserJob, { job: "accept" }>): void {
  const { listener, progress } = listeners.get(ear) ?? {};
  listener?.accept(samples, rateHz);
  if (listener === undefined || !progress) return;
  send({ answer: "progress", ear, heardMs: listener.heardMs });
}

function perform(job: RecogniserJob): void {
  switch (job.job) {
    case "enrol":
      enrol(job.enrolment);
      send({ answer: "done", serial: job.serial });
      break;
    case "listen": {
      const { ear, progress } = job;
      const emit = (event: EarEvent) => send({ answer: "event", ear, event });
      const listener = new Listener(templates, { ...job, emit });
      listeners.set(ear, { listener, progress });
      break;
    }
    case "accept":
      accept(job);
      break;
    case "finish":
      listeners.get(job.ear)?.listener.finish();
      send({ answer: "done", serial: job.serial });
      break;
    case "close":
      listeners.delete(job.ear);
      break;
  }
}

parentPort?.on("message", (jobs: RecogniserJob[]) => {
  for (const job of jobs) {
    perform(job);
    if (answers.some(({ answer }) => answer === "event")) post();
  }
  post();
});
