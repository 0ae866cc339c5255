import { type Answer, answer, Wait } from "./answer.ts";
import { Attention, type Heard } from "./attention.ts";
import type { TransferResult } from "./call.ts";
import type { Config } from "./config.ts";
import { type EscalationRequest, summaryOr } from "./escalation.ts";
import type { Model } from "./llm.ts";
import type { MediaStream } from "./media-stream.ts";
import { PHRASES, REPROMPTS } from "./phrases.ts";
import { Speaker } from "./speaker.ts";
import type { CallOutcome } from "./store.ts";
import { type EarListener, SpeechFailure } from "./stt.ts";
import { describeError, type Logger } from "./telemetry.ts";
import { type Toolbox, useTools } from "./tools.ts";
import { tracedVoice } from "./traced-speech.ts";
import { countInterruption, type Stage } from "./tracing.ts";
import type { Transcript } from "./transcript.ts";
import type { Voice } from "./tts.ts";

export interface ConversationEnd {
  readonly outcome: CallOutcome;
  readonly detail?: string;
  readonly summary?: string;
}

export interface ConversationOptions {
  readonly config: Config["conversation"];
  readonly greeting: string;
  readonly media: MediaStream;
  readonly voice: Voice;
  readonly model: Model;
  readonly toolbox: Toolbox;
  readonly transcript: Transcript;
  /** Hands the caller over; see escalation.ts. `say` speaks without being interrupted. */
  readonly escalate: (
    request: EscalationRequest,
    say: (text: string) => Promise<void>,
  ) => Promise<TransferResult>;
  readonly logger: Logger;
  /** The call's span; turns and announcements become its children. */
  readonly stage: Stage;
  readonly modelName: string;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Aborted when the call has ended. */
  readonly signal: AbortSignal;
  /** Aborted when this process has to end before the call. */
  readonly closing: AbortSignal;
}

/** What the agent is doing that the caller may interrupt. */
interface Activity extends Disposable {
  readonly signal: AbortSignal;
  speaker: Speaker | undefined;
}

/**
 * The turn loop of one call: hear, think, speak. The caller's first sound interrupts what is being
 * spoken; from then on the history holds the words heard so far and nothing else of that reply.
 */
export class Conversation {
  readonly #options: ConversationOptions;
  readonly #attention: Attention;
  #activity: Activity | undefined;
  #abort: (() => void) | undefined;
  #interrupted = false;

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.#attention = new Attention({ ...options, silenceMs: options.config.silenceMs });
  }

  /** Where recognition reports. May be called before {@link run}. */
  readonly listener: EarListener = {
    onOnset: () => {
      this.#attention.sound(true);
      if (this.#activity?.speaker?.started) this.#interrupt();
    },
    onHypothesis: () => {
      this.#attention.sound(true);
      this.#interrupt();
    },
    onPhrase: (text) => {
      this.#attention.phrase(text);
      this.#interrupt();
    },
    onNothing: () => this.#attention.nothing(),
    onFailure: () => {
      this.#attention.deaf = true;
      this.#interrupt();
    },
  };

  /** The media socket was away: words of the caller may be lost, and the end of what was said. */
  lineReturned(): void {
    this.#attention.lineBroke = true;
    this.#interrupt();
  }

  /** Runs until the call is to end; the caller of this hangs up. Never rejects. */
  async run(): Promise<ConversationEnd> {
    const { config, signal, logger, media, closing } = this.#options;
    const timer = setTimeout(() => this.#expire(), config.maxCallMs);
    const wake = () => this.#attention.wake();
    const close = () => this.#interrupt();
    signal.addEventListener("abort", wake, { once: true });
    closing.addEventListener("abort", close, { once: true });
    void media.closed.then(() => this.#loseMedia());
    try {
      return await this.#converse();
    } catch (error) {
      if (signal.aborted) return { outcome: "caller-left" };
      logger.error({ err: describeError(error) }, "conversation broke");
      return await this.#giveUp(error instanceof SpeechFailure ? "synthesis" : "internal");
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", wake);
      closing.removeEventListener("abort", close);
    }
  }

  async #converse(): Promise<ConversationEnd> {
    const { signal, closing, greeting, config } = this.#options;
    if (!closing.aborted) await this.#tell(greeting);
    let silences = 0;
    for (let turn = 0; turn < config.maxTurns && !signal.aborted; turn += 1) {
      const heard = await this.#listen();
      silences = heard === "silence" ? silences + 1 : 0;
      const end = await this.#react(heard, silences);
      if (end !== undefined) return end;
    }
    return signal.aborted ? { outcome: "caller-left" } : this.#timeIsUp();
  }

  async #react(heard: Heard, silences: number): Promise<ConversationEnd | undefined> {
    switch (heard) {
      case "words":
        return this.#respond();
      case "nothing clear":
        return this.#tell(PHRASES.pardon);
      case "interrupted line":
        return this.#tell(PHRASES.lineInterrupted);
      case "silence":
        return this.#prompt(silences);
      case "deaf":
        await this.#announce(PHRASES.cannotHear);
        return this.#giveUp("recognition");
      case "no media":
        return this.#giveUp("media");
      case "closing":
        return this.#giveUp("shutdown");
      default:
        return this.#timeIsUp();
    }
  }

  /** Reprompts, then says goodbye. */
  async #prompt(silences: number): Promise<ConversationEnd | undefined> {
    if (silences <= this.#options.config.reprompts) {
      return this.#tell(REPROMPTS[silences - 1] ?? REPROMPTS.at(-1) ?? PHRASES.pardon);
    }
    await this.#announce(PHRASES.silenceGoodbye);
    return { outcome: "silent" };
  }

  async #timeIsUp(): Promise<ConversationEnd> {
    await this.#announce(`${PHRASES.tooLong} ${PHRASES.callAgain}`);
    return { outcome: "too-long" };
  }

  /** Answers what was heard; several rounds when the model uses tools. */
  async #respond(): Promise<ConversationEnd | undefined> {
    using activity = this.#begin();
    using stage = this.#options.stage.child("turn");
    const wait = new Wait(this.#options.now);
    for (let round = 0; round < this.#options.config.maxToolRounds; round += 1) {
      const reply = await this.#answer(activity, { stage, wait });
      stage.set({ "turn.interrupted": reply.interrupted, "turn.tool_calls": reply.calls.length });
      if (reply.interrupted || reply.failure !== undefined || reply.calls.length === 0) {
        this.#options.transcript.agentSaid(reply.heard, { interrupted: reply.interrupted });
        return reply.failure && !reply.interrupted
          ? this.#recover(reply, reply.failure.code)
          : undefined;
      }
      const end = await this.#useTools(reply, activity);
      if (end !== "continue") return end;
    }
    this.#options.logger.warn({}, "model used tools without end");
    return this.#giveUp("tools");
  }

  #answer(activity: Activity, turn: { stage: Stage; wait: Wait }): Promise<Answer> {
    const { transcript, config } = this.#options;
    return answer({
      ...this.#options,
      ...turn,
      messages: transcript.messages,
      fillerMs: config.fillerMs,
      signal: activity.signal,
      onSpeaker: (speaker) => {
        activity.speaker = speaker;
      },
    });
  }

  /** The model's failure as the caller hears of it: asked again, declined, or a human. */
  async #recover(reply: Answer, code: string): Promise<ConversationEnd | undefined> {
    this.#options.logger.warn({ code, heard: reply.heard !== "" }, "model failed");
    if (code === "filtered") return this.#tell(PHRASES.notAllowed);
    if (reply.heard !== "") return this.#tell(PHRASES.lostThread);
    await this.#announce(PHRASES.trouble);
    return this.#giveUp(`model ${code}`);
  }

  async #useTools(
    { calls, heard }: Answer,
    activity: Activity,
  ): Promise<ConversationEnd | "continue" | undefined> {
    const { toolbox, transcript, logger } = this.#options;
    const { results, ending } = useTools(toolbox, calls);
    logger.info({ tools: calls.map(({ name }) => name.slice(0, 64)) }, "tools used");
    if (ending === undefined) {
      transcript.toolsUsed(heard, results);
      return activity.signal.aborted ? undefined : "continue";
    }
    const { call, outcome } = ending;
    activity[Symbol.dispose]();
    if (outcome.type === "end") {
      transcript.toolsUsed(heard, [...results, { call, result: "done" }]);
      if (heard === "") await this.#announce(PHRASES.goodbye);
      return { outcome: "completed" };
    }
    const summary = this.#summaryOr(outcome.summary);
    const transfer = await this.#handOver({ ...outcome, summary, announced: heard !== "" });
    const result = transfer.accepted ? "transferred" : `the transfer failed: ${transfer.code}`;
    transcript.toolsUsed(heard, [...results, { call, result }]);
    return transfer.accepted ? { outcome: "escalated", summary } : this.#stay();
  }

  /** After a refused transfer the caller is told, and the conversation goes on. */
  async #stay(): Promise<undefined> {
    if (!this.#options.signal.aborted) await this.#tell(PHRASES.transferFailed);
    return undefined;
  }

  async #handOver(
    request: EscalationRequest,
    say = (text: string) => this.#announce(text),
  ): Promise<TransferResult> {
    using transfer = this.#options.stage.child("transfer");
    const result = await this.#options.escalate(request, say);
    if (!result.accepted) transfer.fail(result.code);
    return result;
  }

  /** A technical dead end: a human, or at least a goodbye. Speech itself may be what failed. */
  async #giveUp(detail: string): Promise<ConversationEnd> {
    const { signal, logger } = this.#options;
    const quietly = async (text: string) => {
      await this.#announce(text).catch((error: unknown) => {
        logger.warn({ err: describeError(error) }, "announcement was not spoken");
      });
    };
    const summary = this.#summaryOr("");
    const request = { summary, reason: "technical", announced: false };
    const transfer = await this.#handOver(request, quietly);
    if (transfer.accepted) return { outcome: "escalated", detail, summary };
    if (signal.aborted) return { outcome: "caller-left" };
    await quietly(PHRASES.callAgain);
    return { outcome: "failed", detail };
  }

  #summaryOr(summary: string): string {
    return summaryOr(summary, this.#options.transcript.lastCallerText);
  }

  /** Speaks a sentence the caller may interrupt. */
  async #tell(text: string): Promise<undefined> {
    using activity = this.#begin();
    await this.#speak(text, activity.signal, (speaker) => {
      activity.speaker = speaker;
    });
    return undefined;
  }

  /** Speaks a sentence to its end. */
  async #announce(text: string): Promise<void> {
    await this.#speak(text, this.#options.signal, () => {});
  }

  async #speak(
    text: string,
    signal: AbortSignal,
    onSpeaker: (speaker: Speaker) => void,
  ): Promise<void> {
    const { voice, media, transcript, stage } = this.#options;
    if (!media.open) return;
    const speaker = new Speaker({ voice: tracedVoice(voice, stage), media }, signal);
    onSpeaker(speaker);
    speaker.say(text);
    await speaker.finished();
    transcript.agentSaid(speaker.heard(), { interrupted: signal.aborted });
  }

  #begin(): Activity {
    const controller = new AbortController();
    const activity: Activity = {
      signal: AbortSignal.any([controller.signal, this.#options.signal]),
      speaker: undefined,
      [Symbol.dispose]: () => {
        // A later activity may have begun before this one's scope ended.
        if (this.#activity !== activity) return;
        this.#activity = undefined;
        this.#abort = undefined;
      },
    };
    this.#activity = activity;
    this.#abort = () => controller.abort();
    this.#interrupted = false;
    return activity;
  }

  #interrupt(): void {
    if (this.#activity !== undefined && !this.#interrupted) {
      this.#interrupted = true;
      countInterruption();
    }
    this.#abort?.();
    this.#attention.wake();
  }

  #loseMedia(): void {
    this.#attention.mute = true;
    this.#interrupt();
  }

  #expire(): void {
    this.#attention.tooLong = true;
    this.#interrupt();
  }

  /** Waits for the caller. Words are taken into the transcript. */
  async #listen(): Promise<Heard> {
    const heard = await this.#attention.next({ interrupted: this.#interrupted });
    if (heard === "words") this.#options.transcript.callerSaid(this.#attention.takeWords());
    return heard;
  }
}
