import { expect, test } from "vitest";
import { startLab } from "./lab.ts";

test("a switch of the services can be set for a whole lab", async () => {
  const proxyVersion = "v.2099.1.2.3 i.TEST.0";
  await using lab = await startLab({ switches: { edge: { proxyVersion } } });
  const sent = lab.trace.events.flatMap((event) =>
    event.type === "sip" && event.party === "acs" && event.direction === "out"
      ? [event.message]
      : [],
  );
  expect(sent.join("\n")).toContain(proxyVersion);
});
