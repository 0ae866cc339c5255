import { expect, scenario } from "../harness/scenario.ts";
import { knock } from "../harness/stranger.ts";

/** What would end the call if it were believed. */
const HANG_UP = JSON.stringify([
  {
    id: "from-a-stranger",
    source: "calling/callConnections/0",
    type: "Microsoft.Communication.CallDisconnected",
    specversion: "1.0",
    data: { resultInformation: { code: 200, subCode: 540000 } },
  },
]);
const BAD_TOKENS = [
  "acs.no-token",
  "acs.forged-token",
  "acs.expired-token",
  "acs.wrong-audience",
  "acs.unknown-key",
];

async function post(
  url: string,
  headers: Record<string, string> = {},
  body = HANG_UP,
): Promise<number> {
  const response = await fetch(url, { method: "POST", headers, body });
  // No page of anybody's may read an answer.
  expect(response.headers.has("access-control-allow-origin")).toBe(false);
  return response.status;
}

/** Published as P0-4 of Microsoft's call-center accelerator: doors that are open to everybody. */
scenario(
  "strangers can neither end a call nor listen to it",
  async ({ phone, llm, agent, lab, trace }) => {
    llm.when("current balance").says("Your balance is forty nine dollars.");
    const token = (fault: string) => {
      lab.faults.add({ name: fault, times: 1 });
      return lab.acs.issuer.authorization();
    };

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    const answered = trace.events.find(
      (event) => event.type === "http" && event.target.includes(":answer"),
    );
    const [callback = ""] = /http:[^"\\]+\/callbacks\/[^"\\]+/.exec(JSON.stringify(answered)) ?? [];
    const [media = ""] = /ws:[^"\\]+\/media\/[^"\\]+/.exec(JSON.stringify(answered)) ?? [];
    const good = { ...(await lab.acs.issuer.authorization()) };

    const events = agent.webhookUrl.replace(/\?.*/, "");
    expect(await post(events)).toBe(401);
    expect(await post(`${events}?code=guessed`, { Origin: "https://evil.test" })).toBe(401);
    for (const fault of BAD_TOKENS) {
      const bad = { ...(await token(fault)) };
      expect(await post(callback, bad), fault).toBe(401);
      expect(await knock(media, bad), fault).toBe(401);
    }
    expect(await post(`${callback}0`, good)).toBe(404);
    expect(await post(callback, good, "x".repeat(1_048_577))).toBe(413);
    expect(await knock(media.replace(/.{8}$/, "AAAAAAAA"), good)).toBe(403);
    // The right token a second time, while the service holds its socket.
    expect(await knock(media, good)).toBe(1008);

    expect(call.isUp).toBe(true);
    await call.says("What is my current balance?");
    await call.hears("Your balance is forty nine dollars");
    await call.hangsUp();
    await call.isEnded();
    await lab.waitForQuiet({
      timeoutMs: 5000,
      also: () => (agent.activeCalls > 0 ? "a call" : undefined),
    });
    expect(await knock(media, good)).toBe(403);
    await expect(agent.startAnother({ NODE_ENV: "production" })).rejects.toThrow(
      /AGENT_DATABASE: .*\n.*AGENT_PUBLIC_URL: /,
    );
  },
);
