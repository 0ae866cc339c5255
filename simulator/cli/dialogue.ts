import type { LabDialogue } from "../lab.ts";
import { UsageError } from "./usage.ts";

/** Options of `run` and `up` that record a dialogue with a real model. */
export const DIALOGUE_OPTIONS = {
  "record-dialogue": { type: "string" },
  "model-endpoint": { type: "string" },
  model: { type: "string" },
} as const;

export interface Recording {
  readonly name: string;
  readonly endpoint: NonNullable<LabDialogue["record"]>;
}

/**
 * What `--record-dialogue` asks for, if anything. The key comes from the environment: a command line
 * can be read by everybody on the machine.
 */
export function recordingOf(
  values: Partial<Record<keyof typeof DIALOGUE_OPTIONS, string>>,
  key: string | undefined,
): Recording | undefined {
  const { "record-dialogue": name, "model-endpoint": url, model } = values;
  if (name === undefined) {
    if (url === undefined && model === undefined) return undefined;
    throw new UsageError("--model-endpoint and --model have a use with --record-dialogue only");
  }
  if (!/^[a-z\d][a-z\d-]{0,63}$/.test(name)) {
    throw new UsageError(
      `--record-dialogue: a name is made of a-z, 0-9 and -, got ${JSON.stringify(name)}`,
    );
  }
  if (url === undefined || !URL.canParse(url) || !/^https?:/.test(url)) {
    throw new UsageError(`--record-dialogue needs --model-endpoint with the model's URL`);
  }
  if (key === undefined || key === "") {
    throw new UsageError("--record-dialogue needs the endpoint's key in LINECHECK_MODEL_KEY");
  }
  return { name, endpoint: { url, key, ...(model === undefined ? {} : { model }) } };
}
