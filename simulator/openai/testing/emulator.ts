import { systemClock } from "../../clock.ts";
import { scriptContactCentre } from "../contact-centre.ts";
import { createScript } from "../script.ts";
import { startOpenAi } from "../server.ts";

// A lab's model in a process of its own, with the built-in script: prints its URL, ends with its input.
const script = createScript();
scriptContactCentre(script);
const service = await startOpenAi({
  clock: systemClock(),
  script,
  keys: ["real-key-0123456789"],
  deployments: ["gpt"],
  firstTokenMs: 20,
  tokenMs: 5,
});
process.stdout.write(`${service.url}\n`);
for await (const _ of process.stdin);
await service[Symbol.asyncDispose]();
