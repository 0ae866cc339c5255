import type { ConversationEnd, ConversationOptions } from "./conversation.ts";
import { ModelFailure, type ToolCall } from "./llm.ts";
import { PHRASES, REPROMPTS } from "./phrases.ts";
import { openRealtime, type RealtimeOptions, type RealtimeSession } from "./realtime.ts";
import { TOOLS, useTools } from "./tools.ts";
import { countInterruption } from "./tracing.ts";

export interface RealtimeConversationOptions
  extends Omit<ConversationOptions, "voice" | "model">,
    Pick<RealtimeOptions, "realtime" | "instructions"> {
  readonly endpoint: RealtimeOptions["model"];
  /** Where the caller's audio goes from now on. */
  readonly onListening: (write: (samples: Uint8Array) => void) => void;
}

/** One item the model is saying, on the media stream's time line. */
interface Spoken {
  readonly id: string;
  readonly startMs: number;
  endMs: number;
  words: string;
  settled: boolean;
}

type Happening =
  | { readonly type: "done"; readonly calls: readonly ToolCall[] }
  | { readonly type: "interrupted" }
  | { readonly type: "failed"; readonly failure: ModelFailure }
  | { readonly type: "silence" }
  | { readonly type: "too long" };

/**
 * The turn loop of a call whose model hears and speaks by itself. Interruption, history, tools and
 * escalation are as in the cascade: what the caller did not hear is cut from the model's memory.
 */
export class RealtimeConversation {
  readonly #options: RealtimeConversationOptions;
  readonly #happenings: Happening[] = [];
  #session: RealtimeSession | undefined;
  #spoken: Spoken | undefined;
  #wake: (() => void) | undefined;
  #quietSince = 0;
  #activeAt = 0;
  #answering = false;
  #callerSpeaks = false;

  constructor(options: RealtimeConversationOptions) {
    this.#options = options;
  }

  /** Resolves with the end of the call, or with nothing when the session failed and the call lives. */
  async run(): Promise<ConversationEnd | undefined> {
    const { signal, config } = this.#options;
    const timer = setTimeout(() => this.#happen({ type: "too long" }), config.maxCallMs);
    const wake = () => this.#wake?.();
    signal.addEventListener("abort", wake, { once: true });
    try {
      using session = await this.#open();
      this.#session = session;
      this.#options.onListening((samples) => session.write(samples));
      this.#say(this.#options.greeting);
      return await this.#converse();
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", wake);
    }
  }

  async #converse(): Promise<ConversationEnd | undefined> {
    const { signal, logger } = this.#options;
    let silences = 0;
    for (;;) {
      const happening = await this.#next();
      if (signal.aborted) return { outcome: "caller-left" };
      if (happening.type === "failed") {
        this.#settle({ interrupted: true });
        logger.warn({ code: happening.failure.code }, "realtime session failed");
        return undefined;
      }
      if (happening.type === "silence") silences += 1;
      if (happening.type === "interrupted") silences = 0;
      const end = await this.#react(happening, silences);
      if (end !== undefined) return end;
    }
  }

  async #react(happening: Happening, silences: number): Promise<ConversationEnd | undefined> {
    switch (happening.type) {
      case "done":
        return happening.calls.length === 0 ? undefined : this.#useTools(happening.calls);
      case "silence":
        return this.#prompt(silences);
      case "too long":
        await this.#announce(`${PHRASES.tooLong} ${PHRASES.callAgain}`);
        return { outcome: "too-long" };
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

  async #useTools(calls: readonly ToolCall[]): Promise<ConversationEnd | undefined> {
    const { toolbox, transcript } = this.#options;
    const { results, ending } = useTools(toolbox, calls);
    for (const { call, result } of results) this.#session?.giveResult(call.id, result);
    if (ending === undefined) {
      transcript.toolsUsed("", results);
      this.#expectAnswer();
      this.#session?.respond();
      return undefined;
    }
    const { call, outcome } = ending;
    await this.#heardOut();
    if (outcome.type === "end") {
      transcript.toolsUsed("", [...results, { call, result: "done" }]);
      return { outcome: "completed" };
    }
    const summary =
      outcome.summary === "" ? `Caller said: ${transcript.lastCallerText}` : outcome.summary;
    const request = { ...outcome, summary, announced: false };
    const transfer = await this.#options.escalate(request, (text) => this.#announce(text));
    const result = transfer.accepted ? "transferred" : `the transfer failed: ${transfer.code}`;
    transcript.toolsUsed("", [...results, { call, result }]);
    if (transfer.accepted) return { outcome: "escalated", summary };
    this.#session?.giveResult(call.id, result);
    this.#say(PHRASES.transferFailed);
    return undefined;
  }

  #open(): Promise<RealtimeSession> {
    const { endpoint, realtime, instructions } = this.#options;
    return openRealtime({
      model: endpoint,
      realtime,
      instructions,
      tools: TOOLS,
      listener: {
        onAudio: (samples, itemId) => this.#hear(samples, itemId),
        onWords: (text, itemId) => {
          this.#item(itemId).words += text;
        },
        onSpeechStarted: () => this.#interrupt(),
        onSpeechStopped: () => {
          this.#callerSpeaks = false;
          // The service answers by itself.
          this.#expectAnswer();
        },
        onCallerSaid: (text) => {
          if (text !== "") this.#options.transcript.callerSaid(text);
        },
        onResponseDone: ({ cancelled, calls }) => {
          this.#answering = false;
          if (!cancelled) this.#happen({ type: "done", calls });
        },
        onFailure: (failure) => this.#happen({ type: "failed", failure }),
      },
    });
  }

  #say(text: string): void {
    this.#expectAnswer();
    this.#session?.say(text);
  }

  #expectAnswer(): void {
    this.#answering = true;
    this.#activeAt = this.#options.now();
  }

  /** Says a sentence and waits until it was heard, or nothing came of it. */
  async #announce(text: string): Promise<void> {
    await this.#heardOut();
    this.#say(text);
    let happening = await this.#next();
    while (happening.type === "interrupted" && !this.#options.signal.aborted) {
      happening = await this.#next();
    }
    if (happening.type === "failed") this.#happenings.unshift(happening);
    await this.#heardOut();
  }

  async #heardOut(): Promise<void> {
    // Aborted: the call is over, and what was played is settled all the same.
    await this.#options.media.drained(this.#options.signal).catch(() => undefined);
    this.#settle({ interrupted: false });
  }

  #hear(samples: Uint8Array, itemId: string): void {
    const { media } = this.#options;
    const item = this.#item(itemId);
    // Audio that was still on its way when the caller interrupted.
    if (item.settled) return;
    media.write(samples);
    item.endMs = media.writtenMs;
  }

  #item(id: string): Spoken {
    if (this.#spoken?.id === id) return this.#spoken;
    this.#settle({ interrupted: false });
    const startMs = this.#options.media.writtenMs;
    this.#spoken = { id, startMs, endMs: startMs, words: "", settled: false };
    return this.#spoken;
  }

  #interrupt(): void {
    const { media } = this.#options;
    this.#callerSpeaks = true;
    const item = this.#spoken;
    if (item !== undefined && !item.settled && media.pendingMs > 0) {
      const heardMs = media.stop() - item.startMs;
      this.#session?.truncate(item.id, Math.min(heardMs, item.endMs - item.startMs));
      countInterruption();
      this.#settle({ interrupted: true });
    }
    this.#happen({ type: "interrupted" });
  }

  /** Takes what was heard of the current item into the transcript, once. */
  #settle({ interrupted }: { interrupted: boolean }): void {
    const item = this.#spoken;
    if (item === undefined || item.settled) return;
    item.settled = true;
    const { media, transcript } = this.#options;
    const share = (media.playedMs - item.startMs) / Math.max(1, item.endMs - item.startMs);
    const heard = interrupted ? beginningOf(item.words, share) : item.words;
    transcript.agentSaid(heard.trim(), { interrupted });
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
      const audible = media.pendingMs > 0;
      if (audible) this.#activeAt = now();
      if (audible || this.#answering || this.#callerSpeaks) this.#quietSince = now();
      else this.#settle({ interrupted: false });
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

/** As many whole words as the share of the audio that was heard. */
function beginningOf(words: string, share: number): string {
  if (share >= 1) return words;
  const cut = words.slice(0, Math.floor(words.length * Math.max(0, share)));
  return cut.slice(0, Math.max(0, cut.lastIndexOf(" ")));
}
