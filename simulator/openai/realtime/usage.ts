import type { Item } from "./items.ts";
import type { SessionSettings } from "./settings.ts";

/** Audio per token, as OpenAI bills it: 100 ms of the caller's, 50 ms of the model's. */
const INPUT_TOKEN_MS = 100;
const OUTPUT_TOKEN_MS = 50;
const TOKEN_CHARACTERS = 4;

/** The `usage` of a response. Text tokens are counted by length, as the model's vocabulary is not known. */
export function usageOf(
  input: readonly Item[],
  output: readonly Item[],
  { instructions }: SessionSettings,
): object {
  const given = input.filter((item) => !output.includes(item));
  const heard = sum(given, heardTokens);
  const read = textTokens(instructions) + sum(given, readTokens);
  const spoken = sum(output, spokenTokens);
  const written = sum(output, readTokens);
  return {
    total_tokens: heard + read + spoken + written,
    input_tokens: heard + read,
    output_tokens: spoken + written,
    input_token_details: {
      text_tokens: read,
      audio_tokens: heard,
      image_tokens: 0,
      cached_tokens: 0,
      cached_tokens_details: { text_tokens: 0, audio_tokens: 0, image_tokens: 0 },
    },
    output_token_details: { text_tokens: written, audio_tokens: spoken },
  };
}

function sum(items: readonly Item[], tokens: (item: Item) => number): number {
  return items.reduce((total, item) => total + tokens(item), 0);
}

function heardTokens(item: Item): number {
  return item.kind === "heard" ? Math.ceil(item.durationMs / INPUT_TOKEN_MS) : spokenTokens(item);
}

function spokenTokens(item: Item): number {
  return item.kind === "said" ? Math.ceil((item.heardMs ?? item.audioMs) / OUTPUT_TOKEN_MS) : 0;
}

function readTokens(item: Item): number {
  switch (item.kind) {
    case "text":
    case "said":
      return textTokens(item.text);
    case "call":
      return textTokens(item.name + item.arguments);
    case "result":
      return textTokens(item.output);
    default:
      return 0;
  }
}

function textTokens(text: string): number {
  return Math.ceil(text.length / TOKEN_CHARACTERS);
}
