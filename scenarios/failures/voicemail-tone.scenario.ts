import { scenario } from "../harness/scenario.ts";

scenario(
  "a voicemail's tone is no speech: it is asked about, and nobody behind it gets a goodbye",
  async ({ phone }) => {
    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("Hello Dana", { asTheyAreSpoken: true });
    await call.plays("fixtures/audio/voicemail-tone.wav");
    await call.hears("I didn't catch that");
    await call.hears("Are you still there");
    await call.hears("Please tell me how I can help");
    await call.hears("I will end the call now");
    await call.isEnded();
  },
  { agent: { AGENT_SILENCE_MS: "1500" } },
);
