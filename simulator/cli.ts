#!/usr/bin/env node
import { audio } from "./cli/audio.ts";
import { call } from "./cli/call.ts";
import { certificates } from "./cli/certificates.ts";
import { run } from "./cli/run.ts";
import { up } from "./cli/up.ts";
import { UsageError } from "./cli/usage.ts";

const HELP = `linecheck: a voice agent's whole telephone world on one machine, scripted

  linecheck run [files…] [options]    run scenarios (default: all bundled ones)
      --fault PARTY.WHAT[:NAME=VALUE,…]   break something on purpose (repeatable)
      --agent URL                         test the agent behind this webhook, not the bundled one
      --port-base PORT                    where it finds the lab's services (default: 8900)
      --agent-env NAME=VALUE              change a setting of the bundled agent (repeatable)
      --title TEXT                        only scenarios whose title contains this
      --repeat N                          run each scenario N times
      --disorder SEED                     what ACS posts comes late, twice and out of order by this
                                          seed; each repeat takes the next seed
      --recogniser "COMMAND" or ws://…    a real recogniser hears for the agent (docs/speech.md)
      --record-dialogue NAME              record what a real model says, for scenarios that replay NAME
      --model-endpoint URL  --model NAME  that model; its key is in LINECHECK_MODEL_KEY
      --reporter NAME                     progress (default), verbose, junit (junit.xml in the
                                          folder of --out) or json (results.json)
      --out FOLDER                        traces, ladders and recordings (default: out)
  linecheck up [options]              the lab stays up for your own agent; prints its settings
      --subscribe URL                     your agent's webhook for IncomingCall
      --port-base PORT                    fixed ports from this one on (default: any free ports)
      --recogniser …  --record-dialogue NAME …   as above
      --dialogue NAME                     the model says what was recorded under this name
      --out FOLDER                        trace and the lab's CA file (default: out)
  linecheck call [+NUMBER] [options]  one call from the terminal into a lab that is up
      --press DIGITS  --say TEXT  --wav FILE  --from +NUMBER
      --seconds N                         listens on for this long after the last word (default: 20)
      --out FOLDER                        where that lab keeps its state (default: out)
  linecheck audio [FOLDER]            record what manifest.json lists (default: fixtures/audio)
  linecheck certificates FOLDER       a lab's certificates, for drachtio daemons that run before it
  linecheck help

  LINECHECK_DRACHTIO=docker           the SIP applications run on drachtio/drachtio-server containers
  LINECHECK_DRACHTIO=host:port,…      … or on running daemons, in the order carrier, IVR, queue, SBC,
                                      with LINECHECK_CERTIFICATES=FOLDER
`;

const COMMANDS: Record<string, (args: string[]) => Promise<number>> = {
  run,
  up,
  call,
  audio,
  certificates,
  help: async () => {
    process.stdout.write(HELP);
    return 0;
  },
};

async function main([name = "help", ...args]: string[]): Promise<number> {
  const plain = name === "-h" ? "help" : name.replace(/^--/, "");
  const command = Object.hasOwn(COMMANDS, plain) ? COMMANDS[plain] : undefined;
  if (command === undefined) {
    const known = Object.keys(COMMANDS).join(", ");
    throw new UsageError(`unknown command ${JSON.stringify(name)}; expected one of: ${known}`);
  }
  return command(args);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`linecheck: ${error.message}\n(linecheck help shows every command)\n`);
  process.exitCode = 2;
}
