import type { Trace } from "../../simulator/trace.ts";
import { custodyText } from "./custody.ts";

/** Something that arrived with SIP headers: a call at the queue, an IncomingCall event. */
export interface CarriesHeaders {
  /** The header as it stood on the wire, in any case of its name. */
  header(name: string): string | undefined;
  /** Where the header was on its way here, hop by hop. */
  custodyOf(name: string): string;
}

export function carriesHeaders(
  trace: Trace,
  header: (name: string) => string | undefined,
): CarriesHeaders {
  return { header, custodyOf: (name) => custodyText(trace.events, name) };
}

/** Percent-encoding undone where there is any; what is not valid stays as it is. */
export function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    // A lone percent sign: not encoded text.
    return value;
  }
}
