import type { FaultParameters, SpeechConnection } from "./connection.ts";
import { formatMessage } from "./framing.ts";
import type { TurnMessage } from "./recognition-turn.ts";

/**
 * Planned misbehaviour of one recognition connection:
 *
 * - `speech.drop { at: "open" | "audio" | "phrase", afterMs, code }`: closes with that code, or cuts
 *   the TCP connection; before any message, after so much audio (default, 0 ms), or after a phrase
 * - `speech.deaf`: takes audio and never tells anything
 * - `speech.status { status }`: the next phrase carries this RecognitionStatus instead of its text
 * - `speech.mishear { text }`: the next phrase says this instead
 * - `speech.duplicate-phrase`, `speech.no-nbest`, `speech.malformed`: sent twice; without NBest; cut
 *   in the middle of its JSON
 * - `speech.slow-phrase { delayMs }`, `speech.late-turn-end { delayMs }`, `speech.no-turn-end`
 * - `speech.end-turn`: the service ends the turn after a phrase; the client starts another
 */
export class RecognitionFaults {
  readonly #connection: SpeechConnection;
  readonly #drop: FaultParameters | undefined;
  readonly deaf: boolean;

  constructor(connection: SpeechConnection) {
    this.#connection = connection;
    this.#drop = connection.strike("speech.drop");
    this.deaf = connection.strike("speech.deaf") !== undefined;
    if (this.#drop?.at === "open") this.#cut();
  }

  /** So much audio has arrived in the turn. */
  arrived(audioMs: number): void {
    const { at = "audio", afterMs = 0 } = this.#drop ?? { at: "never" };
    if (at === "audio" && audioMs >= Number(afterMs)) this.#cut();
  }

  /** Sends a message, as it is or spoilt. True if the turn should end after it. */
  deliver(requestId: string, message: TurnMessage, delayMs: number): boolean {
    const { path, body } = message;
    if (path === "turn.end") this.#endTurn(requestId, message, delayMs);
    else if (path !== "speech.phrase") this.#connection.send(path, requestId, body, delayMs);
    else return this.#deliverPhrase(requestId, body, delayMs);
    return false;
  }

  #endTurn(requestId: string, { path, body }: TurnMessage, delayMs: number): void {
    if (this.#connection.strike("speech.no-turn-end") !== undefined) return;
    const late = this.#connection.strike("speech.late-turn-end");
    this.#connection.send(path, requestId, body, delayMs + Number(late?.delayMs ?? 0));
  }

  #deliverPhrase(requestId: string, original: TurnMessage["body"], delayMs: number): boolean {
    if (original.RecognitionStatus !== "Success") {
      this.#connection.send("speech.phrase", requestId, original, delayMs);
      return false;
    }
    const body = this.#spoilt(original);
    const slow = this.#connection.strike("speech.slow-phrase");
    const lateMs = delayMs + Number(slow?.delayMs ?? 0);
    if (this.#connection.strike("speech.malformed") !== undefined) {
      this.#connection.sendRaw(formatMessage("speech.phrase", requestId, body).slice(0, -3));
      return false;
    }
    this.#connection.send("speech.phrase", requestId, body, lateMs);
    if (this.#connection.strike("speech.duplicate-phrase") !== undefined) {
      this.#connection.send("speech.phrase", requestId, body, lateMs);
    }
    if (this.#drop?.at === "phrase") this.#cut();
    return this.#connection.strike("speech.end-turn") !== undefined;
  }

  #spoilt(original: TurnMessage["body"]): TurnMessage["body"] {
    const body = { ...original };
    const status = this.#connection.strike("speech.status");
    const misheard = this.#connection.strike("speech.mishear");
    if (status !== undefined)
      Object.assign(body, { RecognitionStatus: status.status, DisplayText: "" });
    if (misheard !== undefined) {
      const { text } = misheard;
      const said = { Lexical: text, ITN: text, MaskedITN: text, Display: text };
      body.DisplayText = text;
      if (body.NBest !== undefined) body.NBest = [{ Confidence: 0.5, ...said }];
    }
    if (this.#connection.strike("speech.no-nbest") !== undefined) delete body.NBest;
    return body;
  }

  #cut(): void {
    const code = this.#drop?.code;
    this.#connection.trace("drop", { code });
    if (code === undefined) this.#connection.reset();
    else this.#connection.close(Number(code), String(this.#drop?.reason ?? ""));
  }
}
