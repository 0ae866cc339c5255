import { expect, scenario } from "./harness/scenario.ts";

scenario(
  "an SBC with another host's certificate gets no call through",
  async ({ phone, sbc, trace, lab }) => {
    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("not available");
    await call.isEnded();

    const [refusal] = lab.directRouting.findings;
    expect(refusal?.message).toContain("403");
    expect(refusal?.message).toContain(`not for ${lab.sbcFqdn}`);
    expect(sbc.status.overall).not.toBe("online");
    const posted = trace.events.filter(
      (event) => event.type === "http" && event.service === "event-grid",
    );
    expect(JSON.stringify(posted)).not.toContain("IncomingCall");
  },
  { lab: { sbcCertificate: "wrong-host" } },
);
