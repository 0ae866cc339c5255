import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as pause, setImmediate as turn } from "node:timers/promises";
import { type ManualClock, manualClock } from "../../clock.ts";
import { silentTrace } from "../../trace.ts";
import { startDrachtioDaemon } from "../daemon.ts";
import type { Exchange, Section } from "../exchange.ts";
import { encodeFrame, FrameDecoder } from "../frame.ts";
import { openTestPeer, type TestPeer } from "./peer.ts";

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/** Puts names in the place of what differs from run to run, and back. */
class Names {
  readonly #named = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  readonly #ports: ReadonlyMap<string, string>;

  constructor(ports: ReadonlyMap<string, string>) {
    this.#ports = ports;
  }

  fill(text: string): string {
    let filled = text;
    for (const [value, name] of [...this.#named, ...this.#ports]) {
      filled = filled.replaceAll(`{${name}}`, value);
    }
    return filled;
  }

  /** `inputs` is what was written for this exchange: values in it are no accident. */
  take(text: string, inputs: string): string {
    let taken = text
      .replaceAll(UUID, (uuid) => this.#name("u", uuid))
      .replaceAll(/(?<=;(?:from-)?tag=)[\w.-]+/g, (tag) => this.#unless(inputs, "tag", tag))
      .replaceAll(/(?<=;branch=)[\w.-]+/g, (branch) => this.#unless(inputs, "branch", branch))
      .replaceAll(/\d\d:\d\d:\d\d\.\d{6}/g, "{time}")
      .replaceAll(/^([^|]+\|(?:sip\|\w+|response\|[^|]+\|OK\|\w+)\|)[1-9]\d*\|/gm, "$1{bytes}|")
      .replaceAll(/\r\n/g, "\n");
    for (const [value, name] of this.#ports) {
      taken = taken.replaceAll(new RegExp(`(?<=[:|=])${value}\\b`, "g"), `{${name}}`);
    }
    return taken.trimEnd();
  }

  #unless(inputs: string, kind: string, value: string): string {
    return inputs.includes(`${kind}=${value}`) ? value : this.#name(kind, value);
  }

  #name(kind: string, value: string): string {
    const known = this.#named.get(value);
    if (known !== undefined) return `{${known}}`;
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    this.#named.set(value, `${kind}${count}`);
    return `{${kind}${count}}`;
  }
}

/** Where nothing is recorded, this long is waited for what may come. */
const QUIET_MS = 60;
const DEADLINE_MS = 3_000;

/** Sends the inputs to a fresh daemon; returns the exchange with what came back. */
export async function playExchange({ title, sections }: Exchange): Promise<Exchange> {
  const clock = manualClock();
  await using daemon = await startDrachtioDaemon({
    clock,
    trace: silentTrace,
    contacts: [{ transport: "udp", host: "127.0.0.1", port: 0 }],
  });
  const port = daemon.contacts[0]?.port ?? 0;
  await using peer = await openTestPeer({ peer: port });
  const application = await openApplication(daemon.control.port);
  using _socket = { [Symbol.dispose]: () => void application.socket.destroy() };
  const ports = new Map([
    [String(port), "port"],
    [String(peer.port), "peer"],
  ]);
  const inputs = sections
    .filter(({ channel }) => channel.endsWith(">"))
    .map(({ text }) => text)
    .join("\n");
  const player: Player = { clock, peer, application, names: new Names(ports), inputs };
  const played: Section[] = [];
  for (const { input, outputs } of steps(sections)) {
    await send(player, input);
    played.push(input, ...(await collect(player, outputs)));
  }
  return { title, sections: played };
}

interface Application {
  socket: Socket;
  received: string[];
}

interface Player {
  clock: ManualClock;
  peer: TestPeer;
  application: Application;
  names: Names;
  /** Every input as it is written in the file. */
  inputs: string;
}

interface Step {
  input: Section;
  outputs: Section[];
}

function steps(sections: readonly Section[]): Step[] {
  const list: Step[] = [];
  for (const section of sections) {
    if (section.channel.endsWith("<")) list.at(-1)?.outputs.push(section);
    else list.push({ input: section, outputs: [] });
  }
  return list;
}

async function openApplication(port: number): Promise<Application> {
  const socket = connect(port, "127.0.0.1");
  const decoder = new FrameDecoder(1_000_000);
  const received: string[] = [];
  socket.on("data", (chunk: Buffer) => {
    for (const { tokens, message } of decoder.push(chunk)) {
      const head = ["{id}", ...tokens.slice(1)].join("|");
      received.push(message.length === 0 ? head : `${head}\n${message.toString()}`);
    }
  });
  await once(socket, "connect");
  return { socket, received };
}

async function send(player: Player, { channel, text }: Section): Promise<void> {
  if (channel === "clock>") return player.clock.advance(Number(text));
  const filled = player.names.fill(text);
  if (channel === "net>") return player.peer.send(complete(filled));
  const [head = "", ...rest] = filled.split("\n");
  const message = rest.length === 0 ? undefined : Buffer.from(complete(rest.join("\n")));
  player.application.socket.write(encodeFrame(head, message));
}

/** Line ends, the blank line, and the body's length where `{length}` stands. */
function complete(text: string): string {
  const blank = text.indexOf("\n\n");
  const body = blank === -1 ? "" : `${text.slice(blank + 2)}\n`.replaceAll("\n", "\r\n");
  const head = blank === -1 ? text : text.slice(0, blank);
  const sized = head.replace("{length}", String(Buffer.byteLength(body)));
  return `${sized.replaceAll("\n", "\r\n")}\r\n\r\n${body}`;
}

async function collect(player: Player, outputs: readonly Section[]): Promise<Section[]> {
  const { application, peer, names, inputs } = player;
  const fromNetwork: string[] = [];
  const wanted = (channel: string) => outputs.filter((each) => each.channel === channel).length;
  const enough = () => {
    fromNetwork.push(...peer.drain());
    const applied = application.received.length >= wanted("app<");
    return applied && fromNetwork.length >= wanted("net<");
  };
  const signal = AbortSignal.timeout(DEADLINE_MS);
  if (outputs.length === 0) await pause(QUIET_MS);
  while (!enough() && !signal.aborted) await turn();
  // What comes with the last message is there a few turns later.
  for (let turns = 0; turns < 5; turns++) await turn();
  enough();
  const named = (channel: Section["channel"], text: string) => ({
    channel,
    text: names.take(text, inputs),
  });
  return [
    ...application.received.splice(0).map((text) => named("app<", text)),
    ...fromNetwork.map((text) => named("net<", text)),
  ];
}
