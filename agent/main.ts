import { type Config, ConfigError, readConfig } from "./config.ts";
import { RedisUnavailable } from "./redis-replicas.ts";
import { startAgent } from "./service.ts";
import { Store } from "./store.ts";

/** Exit codes of sysexits.h: a wrong configuration is not a crash. */
const EX_CONFIG = 78;
const EX_UNAVAILABLE = 69;
const EX_USAGE = 64;

const config = configOrExit();
if (process.argv[2] === "forget") {
  forget(process.argv[3]);
  process.exit();
}
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

/** `forget CUSTOMER`: removes a customer and their calls from the database, also beside a running agent. */
function forget(customerId: string | undefined): void {
  if (customerId === undefined) {
    process.stderr.write("forget: expected the id of a customer\n");
    process.exitCode = EX_USAGE;
    return;
  }
  if (config.store.path === ":memory:") {
    process.stderr.write("AGENT_DATABASE: expected the running agent's file, got :memory:\n");
    process.exitCode = EX_CONFIG;
    return;
  }
  using store = Store.open(config.store.path);
  process.stdout.write(`${JSON.stringify({ deletedCalls: store.deleteCustomer(customerId) })}\n`);
}
