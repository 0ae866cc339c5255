import { type Config, ConfigError, readConfig } from "./config.ts";
import { RedisUnavailable } from "./redis-replicas.ts";
import { startAgent } from "./service.ts";

/** Exit codes of sysexits.h: a wrong configuration is not a crash. */
const EX_CONFIG = 78;
const EX_UNAVAILABLE = 69;

const config = configOrExit();
const agent = await startAgent(config).catch((error: unknown) => {
  if (!(error instanceof RedisUnavailable)) throw error;
  process.stderr.write(`${error.message}\n`);
  return process.exit(EX_UNAVAILABLE);
});

let stopping = false;
const stop = async () => {
  if (stopping) return;
  stopping = true;
  await agent.drain();
  await agent[Symbol.asyncDispose]();
  process.exit(0);
};
process.once("SIGTERM", () => void stop());
process.once("SIGINT", () => void stop());

function configOrExit(): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return process.exit(EX_CONFIG);
  }
}
