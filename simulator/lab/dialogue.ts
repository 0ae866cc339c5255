import { join } from "node:path";
import type { Clock } from "../clock.ts";
import { dialogueFile, readDialogue } from "../openai/dialogue.ts";
import { type Backing, playDialogue } from "../openai/dialogue-player.ts";
import { type ModelEndpoint, recordDialogue } from "../openai/dialogue-recorder.ts";
import type { Trace } from "../trace.ts";
import type { Customer } from "./customers.ts";

/** A recorded dialogue with a model: `fixtures/dialogues/NAME.json`. */
export interface LabDialogue {
  readonly name: string;
  /** Recorded times are multiplied by this; 0 answers at once. Default 1. */
  readonly timeScale?: number;
  /** Records the dialogue with this model instead of replaying it. */
  readonly record?: ModelEndpoint | undefined;
}

export interface DialogueGround {
  readonly clock: Clock;
  readonly trace: Trace;
  /** Folder of fixtures. */
  readonly fixtures: string;
  /** Their names are hidden in what is recorded. */
  readonly customers: readonly Customer[];
}

/** Throws a DialogueError if there is no such dialogue to replay. */
export function openDialogue(
  { name, timeScale = 1, record }: LabDialogue,
  { clock, trace, fixtures, customers }: DialogueGround,
): Backing {
  const file = dialogueFile(join(fixtures, "dialogues"), name);
  const names = customers.flatMap((customer) => customer.name ?? []);
  return record === undefined
    ? playDialogue({ clock, names, timeScale, dialogue: readDialogue(file) })
    : recordDialogue({ clock, names, file, endpoint: record, trace: trace.as("openai") });
}
