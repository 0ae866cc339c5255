import { expect, test } from "vitest";
import { until } from "./testing/call-service.ts";
import { startRealtimeService } from "./testing/realtime-service.ts";
import { connect, INCOMING, post, startWorld } from "./testing/world.ts";

test.concurrent("a media socket that answers nothing any more leads to a human", async () => {
  await using world = await startWorld({ env: { AGENT_MEDIA_TIMEOUT_MS: "100" } });
  const { media } = await connect(world);
  await until(() => media.totalBytes > 0);
  media.socket.pause();
  const { body } = await world.calls.request(/:transferToParticipant$/);
  expect(JSON.stringify(body)).toContain("+18005550150");
});

test.concurrent("a realtime session whose caller hears nothing ends with a human", async () => {
  await using service = await startRealtimeService();
  await using world = await startWorld({
    env: {
      AGENT_MODE: "realtime",
      AGENT_MEDIA_RATE_HZ: "24000",
      AZURE_OPENAI_REALTIME_DEPLOYMENT: "voice",
      AZURE_OPENAI_ENDPOINT: service.url,
      AGENT_MEDIA_TIMEOUT_MS: "100",
      AZURE_OPENAI_STALL_TIMEOUT_MS: "60000",
    },
    calls: { rateHz: 24_000 },
  });
  await post(world.agent.webhookUrl, INCOMING);
  const media = await world.calls.openMedia();
  await world.calls.event("CallConnected");
  await until(() => service.sessions[0]);
  media.socket.terminate();
  const { body } = await world.calls.request(/:transferToParticipant$/);
  expect(JSON.stringify(body)).toContain("+18005550150");
});
