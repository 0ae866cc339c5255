import { readConfig } from "../../agent/config.ts";
import { type Agent, startAgent } from "../../agent/service.ts";
import type { Lab } from "../../simulator/lab.ts";
import { type AgentProcess, startAgentProcess } from "./agent-process.ts";

type Settings = Readonly<Record<string, string>>;

/** The agent under test. */
export interface AgentFixture {
  /** Where it takes IncomingCall. */
  readonly webhookUrl: string;
  /** The bundled agent itself. Where another one is tested, this and what starts more of them skips the scenario. */
  readonly bundled: Agent;
  /** Calls of the bundled agents of this process that are not over. */
  readonly activeCalls: number;
  /** Starts one more bundled agent with other settings. It gets the calls from now on. */
  startAnother(settings: Settings): Promise<Agent>;
  /** The same in a process of its own: its log can be read, and it can be killed. */
  startProcess(settings: Settings): Promise<AgentProcess>;
}

/** With another agent than the bundled one the scenario proves nothing about it: it is skipped. */
export class BundledAgentNeeded extends Error {
  override readonly name = "BundledAgentNeeded";
  readonly code = "BUNDLED_AGENT_NEEDED";

  constructor() {
    super("this scenario looks into the bundled agent, and another one is under test");
  }
}

export interface AgentsOptions {
  /** Webhook of an agent of somebody else's; left out, the bundled one is started. */
  readonly agentUrl: string | undefined;
  /** What differs from the lab's settings, by environment name. */
  readonly settings: Settings;
  readonly signal: AbortSignal;
}

/** Starts the agent under test and has ACS announce the lab's calls to it. */
export async function startAgents(
  lab: Lab,
  { agentUrl, settings, signal }: AgentsOptions,
): Promise<AgentFixture & AsyncDisposable> {
  const opened = new AsyncDisposableStack();
  const agents: Agent[] = [];
  const environment = (more: Settings) => ({ ...lab.agentEnvironment, ...settings, ...more });
  const own = () => {
    if (agentUrl !== undefined) throw new BundledAgentNeeded();
  };
  const startAnother = async (more: Settings) => {
    own();
    const agent = opened.use(await startAgent(readConfig(environment(more))));
    agents.push(agent);
    await lab.useAgent(agent.webhookUrl);
    return agent;
  };
  try {
    const bundled = agentUrl === undefined ? await startAnother({}) : undefined;
    if (agentUrl !== undefined) await lab.useAgent(agentUrl);
    return {
      webhookUrl: agentUrl ?? bundled?.webhookUrl ?? "",
      get bundled() {
        if (bundled === undefined) throw new BundledAgentNeeded();
        return bundled;
      },
      get activeCalls() {
        return agents.reduce((sum, agent) => sum + agent.activeCalls, 0);
      },
      startAnother,
      startProcess: async (more) => {
        own();
        const agent = opened.use(await startAgentProcess({ settings: environment(more), signal }));
        await lab.useAgent(agent.webhookUrl);
        return agent;
      },
      [Symbol.asyncDispose]: () => opened.disposeAsync(),
    };
  } catch (error) {
    await opened.disposeAsync();
    throw error;
  }
}
