import type { TraceEvent } from "../trace.ts";

/**
 * The events of a `trace.jsonl`. A last line without its end is left out: the process that wrote it
 * was killed. Throws for a line that is no event of this version, with its number.
 */
export function readTrace(text: string): TraceEvent[] {
  const lines = text.split("\n");
  // What follows the last line break is empty, or was never finished.
  return lines.slice(0, -1).map((line, index) => parseEvent(line, index + 1));
}

function parseEvent(line: string, number: number): TraceEvent {
  const event = parseLine(line, number) as TraceEvent | null;
  if (event?.v !== 1) throw new TraceFileError(`line ${number}: expected an event of version 1`);
  return event;
}

function parseLine(line: string, number: number): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new TraceFileError(`line ${number} is no JSON`, { cause: error });
  }
}

export class TraceFileError extends Error {
  override readonly name = "TraceFileError";
  readonly code = "TRACE_FILE";
}
