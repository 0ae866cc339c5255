import type { TransferResult } from "./call.ts";
import type { ConversationEnd, ConversationOptions } from "./conversation.ts";
import { type EscalationRequest, summaryOr } from "./escalation.ts";
import { ModelFailure } from "./llm.ts";
import { PHRASES, REPROMPTS } from "./phrases.ts";
import {
  type FinishedResponse,
  openRealtime,
  type RealtimeOptions,
  type RealtimeSession,
} from "./realtime.ts";
import { Patience, type PatienceOptions } from "./realtime-patience.ts";
import { type CutItem, SpokenItems } from "./realtime-spoken.ts";
import { TOOLS, useTools } from "./tools.ts";
import { countInterruption } from "./tracing.ts";

export interface RealtimeConversationOptions
  extends Omit<ConversationOptions, "voice" | "model">,
    Pick<RealtimeOptions, "realtime" | "instructions" | "callerData">,
    Pick<PatienceOptions, "voice"> {
  readonly endpoint: RealtimeOptions["model"];
  /** Where the caller's audio goes from now on. */
  readonly onListening: (write: (samples: Uint8Array) => void) => void;
}

type Answered = FinishedResponse & { readonly spoken: boolean };

type Happening =
  | ({ readonly type: "done" } & Answered)
  | { readonly type: "interrupted" }
  | { readonly type: "failed"; readonly failure: ModelFailure }
  | { readonly type: "silence" }
  | { readonly type: "line returned" }
  | { readonly type: "too long" }
  | { readonly type: "no media" }
  | { readonly type: "closing" };

/**
 * The turn loop of a call whose model hears and speaks by itself. Interruption, history, tools and
 * escalation are as in the cascade: what the caller did not hear is cut from the model's memory.
 */
export class RealtimeConversation {
  readonly #options: RealtimeConversationOptions;
  readonly #happenings: Happening[] = [];
  #session: RealtimeSession | undefined;
  readonly #spoken: SpokenItems;
  readonly #patience: Patience;
  #wake: (() => void) | undefined;
  #quietSince = 0;
  #activeAt = 0;
  #answering = false;
  #callerSpeaks = false;
  /** While a sentence must be heard to its end. */
  #announcing = false;
  /** Whether something of the response that is being made has been spoken. */
  #speaking = false;
  /** Of tools, one after another. */
  #rounds = 0;

  constructor(options: RealtimeConversationOptions) {
    this.#options = options;
    this.#spoken = new SpokenItems(options.media);
    this.#patience = new Patience(options);
  }

  /**
   * Resolves with the end of the call, or with nothing where the call lives on without the session,
   * because that failed, the caller hears nothing any more, or this process has to end.
   */
  async run(): Promise<ConversationEnd | undefined> {
    const { signal, closing, config, media } = this.#options;
    const timer = setTimeout(() => this.#happen({ type: "too long" }), config.maxCallMs);
    const wake = () => this.#wake?.();
    const close = () => this.#happen({ type: "closing" });
    signal.addEventListener("abort", wake, { once: true });
    closing.addEventListener("abort", close, { once: true });
    void media.closed.then(() => this.#happen({ type: "no media" }));
    try {
      using session = await this.#open();
      this.#session = session;
      this.#options.onListening((samples) => session.write(samples));
      this.#say(this.#options.greeting);
      return await this.#converse();
    } finally {
      clearTimeout(timer);
      this.#patience.end();
      signal.removeEventListener("abort", wake);
      closing.removeEventListener("abort", close);
    }
  }

  /** The media socket was away: words of the caller may be lost, and the end of what was said. */
  lineReturned(): void {
    if (this.#session !== undefined) this.#happen({ type: "line returned" });
  }

  async #converse(): Promise<ConversationEnd | undefined> {
    const { signal, logger } = this.#options;
    let silences = 0;
    for (;;) {
      const happening = await this.#next();
      if (signal.aborted) return { outcome: "caller-left" };
      if (happening.type === "failed") {
        logger.warn({ code: happening.failure.code }, "realtime session failed");
      }
      if (endsSession(happening)) {
        this.#cut();
        return undefined;
      }
      if (happening.type === "silence") silences += 1;
      if (happening.type === "interrupted" || happening.type === "line returned") silences = 0;
      const end = await this.#react(happening, silences);
      if (end !== undefined) return end;
    }
  }

  async #react(happening: Happening, silences: number): Promise<ConversationEnd | undefined> {
    switch (happening.type) {
      case "done":
        return this.#useTools(happening);
      case "silence":
        return this.#prompt(silences);
      case "too long":
        await this.#announce(`${PHRASES.tooLong} ${PHRASES.callAgain}`);
        return { outcome: "too-long" };
      case "line returned":
        this.#cutShort();
        this.#say(PHRASES.lineInterrupted);
        return undefined;
      default:
        return undefined;
    }
  }

  async #prompt(silences: number): Promise<ConversationEnd | undefined> {
    if (silences <= this.#options.config.reprompts) {
      this.#say(REPROMPTS[silences - 1] ?? PHRASES.pardon);
      return undefined;
    }
    await this.#announce(PHRASES.silenceGoodbye);
    return { outcome: "silent" };
  }

  async #useTools({ calls, spoken }: Answered): Promise<ConversationEnd | undefined> {
    this.#rounds = calls.length === 0 ? 0 : this.#rounds + 1;
    if (calls.length === 0) return undefined;
    const { toolbox, transcript } = this.#options;
    const { results, ending } = useTools(toolbox, calls);
    for (const { call, result } of results) this.#session?.giveResult(call.id, result);
    if (ending === undefined) {
      transcript.toolsUsed("", results);
      return this.#goOn();
    }
    const { call, outcome } = ending;
    await this.#heardOut();
    if (outcome.type === "end") {
      transcript.toolsUsed("", [...results, { call, result: "done" }]);
      if (!spoken) await this.#announce(PHRASES.goodbye);
      return { outcome: "completed" };
    }
    const summary = summaryOr(outcome.summary, transcript.lastCallerText);
    const transfer = await this.#handOver({ ...outcome, summary, announced: false });
    const result = transfer.accepted ? "transferred" : `the transfer failed: ${transfer.code}`;
    transcript.toolsUsed("", [...results, { call, result }]);
    if (transfer.accepted) return { outcome: "escalated", summary };
    this.#session?.giveResult(call.id, result);
    this.#session?.converse(true);
    this.#say(PHRASES.transferFailed);
    return undefined;
  }

  /** Has the model answer from the results of its tools, unless that has no end. */
  async #goOn(): Promise<ConversationEnd | undefined> {
    const { config, logger } = this.#options;
    if (this.#rounds < config.maxToolRounds) {
      this.#expectAnswer();
      this.#patience.begin();
      this.#session?.respond();
      return undefined;
    }
    logger.warn({}, "model used tools without end");
    return this.#giveUp("tools");
  }

  async #handOver(request: EscalationRequest): Promise<TransferResult> {
    using transfer = this.#options.stage.child("transfer");
    const result = await this.#options.escalate(request, (text) => this.#announce(text));
    if (!result.accepted) transfer.fail(result.code);
    return result;
  }

  /** A dead end: a human, or at least a goodbye. */
  async #giveUp(detail: string): Promise<ConversationEnd> {
    const { transcript, signal } = this.#options;
    const summary = summaryOr("", transcript.lastCallerText);
    const transfer = await this.#handOver({ summary, reason: "technical", announced: false });
    if (transfer.accepted) return { outcome: "escalated", detail, summary };
    if (signal.aborted) return { outcome: "caller-left" };
    await this.#announce(PHRASES.callAgain);
    return { outcome: "failed", detail };
  }

  #open(): Promise<RealtimeSession> {
    const { endpoint, realtime, instructions, callerData } = this.#options;
    return openRealtime({
      model: endpoint,
      realtime,
      instructions,
      callerData,
      tools: TOOLS,
      listener: {
        onAudio: (samples, itemId) => {
          this.#speaking = true;
          this.#patience.end();
          this.#spoken.play(itemId, samples);
        },
        onWords: (text, itemId) => {
          this.#patience.end();
          this.#spoken.tell(itemId, text);
        },
        onSpeechStarted: () => this.#interrupt(),
        onSpeechStopped: () => {
          this.#callerSpeaks = false;
          // The service answers by itself.
          if (this.#announcing) return;
          this.#expectAnswer();
          this.#patience.begin();
        },
        onCallerSaid: (text) => {
          if (text !== "") this.#options.transcript.callerSaid(text);
        },
        onResponseDone: (response) => {
          this.#answering = false;
          if (response.calls.length === 0) this.#patience.end();
          this.#spoken.complete();
          this.#happen({ type: "done", spoken: this.#speaking, ...response });
          this.#speaking = false;
        },
        onRefused: (code) => this.#options.logger.warn({ code }, "realtime event refused"),
        onFailure: (failure) => this.#happen({ type: "failed", failure }),
      },
    });
  }

  #say(text: string): string | undefined {
    this.#expectAnswer();
    return this.#session?.say(text);
  }

  #expectAnswer(): void {
    this.#answering = true;
    this.#activeAt = this.#options.now();
  }

  /** Says a sentence to its end: meanwhile the caller neither interrupts nor is answered. */
  async #announce(text: string): Promise<void> {
    this.#announcing = true;
    this.#session?.converse(false);
    const later: Happening[] = [];
    try {
      await this.#heardOut();
      const label = this.#say(text);
      let happening = await this.#next();
      while (!isEndOf(label, happening) && !this.#options.signal.aborted) {
        if (LASTING.has(happening.type)) later.push(happening);
        happening = await this.#next();
      }
      if (LASTING.has(happening.type)) later.push(happening);
      await this.#heardOut();
    } finally {
      this.#happenings.unshift(...later);
      this.#announcing = false;
    }
  }

  async #heardOut(): Promise<void> {
    // Aborted: the call is over, and what was played is settled all the same.
    await this.#options.media.drained(this.#options.signal).catch(() => undefined);
    this.#settle();
  }

  #interrupt(): void {
    if (this.#announcing) return;
    this.#callerSpeaks = true;
    this.#rounds = 0;
    this.#patience.end();
    if (this.#options.media.pendingMs > 0) {
      this.#cutShort();
      countInterruption();
    }
    this.#happen({ type: "interrupted" });
  }

  /** Stops what is being said, and tells the model what was heard of it. */
  #cutShort(): void {
    this.#settle();
    for (const { id, heardMs } of this.#cut()) this.#session?.truncate(id, heardMs);
  }

  /** Stops what is being said; what was heard of it is kept, and no more. */
  #cut(): CutItem[] {
    this.#patience.end();
    const items = this.#spoken.cut();
    for (const { text } of items) this.#options.transcript.agentSaid(text, { interrupted: true });
    return items;
  }

  /** Takes what has been heard to its end into the transcript. */
  #settle(): void {
    for (const text of this.#spoken.takeHeard()) {
      this.#options.transcript.agentSaid(text, { interrupted: false });
    }
  }

  #happen(happening: Happening): void {
    this.#happenings.push(happening);
    this.#wake?.();
  }

  /** The next thing that happens; silence is one, and so is an answer that does not come. */
  async #next(): Promise<Happening> {
    const { signal, now, config, media, endpoint } = this.#options;
    this.#quietSince = now();
    this.#activeAt = now();
    while (!signal.aborted) {
      const happening = this.#happenings.shift();
      if (happening !== undefined) return happening;
      if (this.#patience.look()) this.#activeAt = now();
      if (media.pendingMs > 0 || this.#answering || this.#callerSpeaks) this.#quietSince = now();
      this.#settle();
      if (this.#answering && now() - this.#activeAt > endpoint.stallTimeoutMs) return STALLED;
      if (now() - this.#quietSince > config.silenceMs) return { type: "silence" };
      await this.#sleep();
    }
    return { type: "interrupted" };
  }

  async #sleep(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LOOK_AGAIN_MS);
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    clearTimeout(timer);
  }
}

/** How often the end of play-out, and of patience, is looked for. */
const LOOK_AGAIN_MS = 50;

const STALLED: Happening = {
  type: "failed",
  failure: new ModelFailure("stalled", "nothing came of a response"),
};

/** The session is of no more use; what comes after it speaks to the caller, or to a human. */
function endsSession({ type }: Happening): boolean {
  return type === "failed" || type === "closing" || type === "no media";
}

/** What an announcement does not make up for. */
const LASTING: ReadonlySet<Happening["type"]> = new Set([
  "too long",
  "closing",
  "failed",
  "no media",
  "line returned",
]);

function isEndOf(label: string | undefined, happening: Happening): boolean {
  if (happening.type === "done") return happening.label === label;
  return happening.type === "failed" || happening.type === "no media";
}
