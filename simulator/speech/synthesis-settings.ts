import { type AudioFormat, parseOutputFormat } from "./audio-format.ts";
import { field, SettingsError } from "./recognition-settings.ts";

/** What `synthesis.context` asks for. */
export interface SynthesisSettings {
  readonly format: AudioFormat;
  /** The client asked for a container, not only samples. */
  readonly riff: boolean;
  readonly wordBoundaries: boolean;
  readonly punctuationBoundaries: boolean;
  readonly sentenceBoundaries: boolean;
  readonly sessionEnd: boolean;
  /** Set for text that arrives in pieces, instead of SSML. */
  readonly streaming?: { voice?: string; rate?: string };
}

const DEFAULT_FORMAT = "raw-16khz-16bit-mono-pcm";

export function readSynthesisSettings(context: unknown): SynthesisSettings {
  const synthesis = field(context, "synthesis");
  const audio = field(synthesis, "audio");
  const name = field(audio, "outputFormat") ?? DEFAULT_FORMAT;
  const output = typeof name === "string" ? parseOutputFormat(name) : undefined;
  if (output === undefined)
    throw new SettingsError(`Unsupported output format: ${JSON.stringify(name)}`);
  const metadata = field(audio, "metadataOptions");
  const input = field(synthesis, "input");
  return {
    ...output,
    wordBoundaries: flag(field(metadata, "wordBoundaryEnabled")),
    punctuationBoundaries: flag(field(metadata, "punctuationBoundaryEnabled")),
    sentenceBoundaries: flag(field(metadata, "sentenceBoundaryEnabled")),
    sessionEnd: flag(field(metadata, "sessionEndEnabled") ?? true),
    ...(flag(field(input, "bidirectionalStreamingMode")) ? { streaming: streamingOf(input) } : {}),
  };
}

function streamingOf(input: unknown) {
  const voice = field(input, "voiceName");
  const rate = field(input, "rate");
  return {
    ...(typeof voice === "string" ? { voice } : {}),
    ...(typeof rate === "string" ? { rate } : {}),
  };
}

/** The SDK sends some booleans as strings. */
function flag(value: unknown): boolean {
  return value === true || value === "true";
}
