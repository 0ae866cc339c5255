import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import {
  EngineError,
  type EngineLink,
  type EngineLinkListener,
  LIMIT_MESSAGE_CHARACTERS,
  type LinkOptions,
} from "./engine-link.ts";

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** What the engine wrote to stderr last is part of the message when it fails. */
const LIMIT_STDERR_CHARACTERS = 500;
/** As many phrases as the service takes. */
const LIMIT_PHRASES = 500;

/**
 * A command that reads PCM on stdin and writes one JSON text a line to stdout. It runs in a process
 * group of its own, so that whatever it starts ends with it.
 */
export function openCommand(options: LinkOptions, listener: EngineLinkListener): EngineLink {
  return new CommandLink(options, listener);
}

class CommandLink implements EngineLink {
  readonly #options: LinkOptions;
  readonly #listener: EngineLinkListener;
  readonly #child: Child;
  readonly #closed: Promise<void>;
  #rest = "";
  #errors = "";
  #finished = false;

  constructor(options: LinkOptions, listener: EngineLinkListener) {
    this.#options = options;
    this.#listener = listener;
    // `env` adds to the environment that the lab runs in.
    const args = [...environment(options), "sh", "-c", options.address];
    this.#child = spawn("env", args, { detached: true, stdio: ["pipe", "pipe", "pipe"] });
    this.#closed = new Promise((resolve) => {
      this.#child.once("close", (code, signal) => {
        this.#end(code, signal);
        resolve();
      });
    });
    // Whatever it left running must not outlive it, nor keep its output open.
    this.#child.once("exit", () => this.#signal("SIGKILL"));
    this.#child.on("error", (error) => this.#fail("ENGINE_EXITED", error.message));
    // It stopped reading: its exit says why.
    this.#child.stdin.on("error", () => {});
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => this.#read(text));
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#errors = (this.#errors + text).slice(-LIMIT_STDERR_CHARACTERS);
    });
  }

  get pendingBytes(): number {
    return this.#child.stdin.writableLength;
  }

  send(pcm: Buffer): void {
    if (!this.#child.stdin.writable) return;
    this.#child.stdin.write(pcm, (error) => {
      if (!error) this.#listener.onTaken();
    });
  }

  end(): void {
    this.#finished = true;
    this.#child.stdin.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { clock, limits } = this.#options;
    this.#signal("SIGTERM");
    using _patience = clock.after(limits.killMs, () => this.#signal("SIGKILL"));
    await this.#closed;
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > LIMIT_MESSAGE_CHARACTERS) {
      this.#rest = "";
      this.#fail("ENGINE_PROTOCOL", `a line above ${LIMIT_MESSAGE_CHARACTERS} characters`);
    }
    for (const line of lines) if (line.trim() !== "") this.#listener.onMessage(line);
  }

  #end(code: number | null, signal: NodeJS.Signals | null): void {
    if (code === 0 && this.#finished) return this.#listener.onEnd();
    const how = signal === null ? `exited with code ${code}` : `was ended by ${signal}`;
    const when = this.#finished ? "" : " before the audio ended";
    const said = this.#errors.trim() === "" ? "" : `: ${this.#errors.trim()}`;
    this.#fail("ENGINE_EXITED", `${this.#options.address} ${how}${when}${said}`);
  }

  #fail(code: EngineError["code"], message: string): void {
    this.#listener.onEnd(new EngineError(code, message));
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // Nobody is left in the group.
    }
  }
}

function environment({ turn }: LinkOptions): string[] {
  const { rateHz, languages, phrases, segmentationSilenceMs } = turn;
  return [
    `LINECHECK_RATE_HZ=${rateHz}`,
    `LINECHECK_LANGUAGES=${languages.join(",")}`,
    `LINECHECK_PHRASES=${JSON.stringify(phrases.slice(0, LIMIT_PHRASES))}`,
    `LINECHECK_SILENCE_MS=${segmentationSilenceMs}`,
  ];
}
