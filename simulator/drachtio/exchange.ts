/**
 * A recorded exchange: a title, then sections. `app>` and `net>` are what an application and a UDP
 * peer send, `app<` and `net<` what they get, `clock>` lets that many milliseconds pass. What
 * differs from run to run has a name in braces: `{u1}` is the first UUID seen, `{tag1}` the first
 * tag of the daemon's, `{branch1}` the first branch. Inputs may use these names.
 */
export interface Section {
  channel: "app>" | "app<" | "net>" | "net<" | "clock>";
  text: string;
}

export interface Exchange {
  title: string;
  sections: readonly Section[];
}

export function parseExchange(text: string): Exchange {
  const [title = "", ...blocks] = text.split(/^=== /m);
  const sections = blocks.map((block) => {
    const end = block.indexOf("\n");
    const channel = block.slice(0, end).trim() as Section["channel"];
    return { channel, text: block.slice(end + 1).trimEnd() };
  });
  return { title: title.trim(), sections };
}

export function formatExchange({ title, sections }: Exchange): string {
  const blocks = sections.map(({ channel, text }) => `=== ${channel}\n${text}\n`);
  return `${title}\n\n${blocks.join("\n")}`;
}
