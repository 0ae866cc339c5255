import { expect, test } from "vitest";
import { run } from "./run.ts";

test.each([
  [["scenarios/no-such.scenario.ts"], "no such scenario file or folder"],
  [["README.md"], "expected a folder or a .scenario.ts file under"],
  [
    ["--reporter", "shiny"],
    '--reporter: expected one of progress, junit, json, verbose, got "shiny"',
  ],
  [["--fault", "nonsense"], "--fault: expected party.what"],
  [["--fault", "acs.busy:times=x"], "--fault: times: expected a whole number"],
  [["--agent-env", "NAME"], "--agent-env: expected name=value"],
  [["--agent", "nowhere"], "--agent: expected the agent's webhook URL"],
  [["--agent", "http://h/e", "--agent-env", "A=b"], "--agent-env changes the bundled agent"],
  [["--model-endpoint", "http://h"], "have a use with --record-dialogue only"],
  [["--record-dialogue", "A b"], "--record-dialogue: a name is made of"],
  [["--record-dialogue", "a"], "needs --model-endpoint"],
  [["--record-dialogue", "a", "--model-endpoint", "http://h"], "key in LINECHECK_MODEL_KEY"],
  [["--repeat", "0"], "--repeat: expected a whole number"],
  [["--disorder", "some"], "--disorder: expected a whole number"],
])("%j is refused before anything starts", async (args, message) => {
  await expect(run(args)).rejects.toMatchObject({
    code: "USAGE",
    message: expect.stringContaining(message),
  });
});
