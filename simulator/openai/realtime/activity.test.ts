import { expect, test } from "vitest";
import { ActivityDetector } from "./activity.ts";
import { tone } from "./testing/service.ts";

const RATE_HZ = 8000;
const silence = (durationMs: number) => new Int16Array((durationMs * RATE_HZ) / 1000);

function detect(pieces: readonly Int16Array[], threshold = 0.5) {
  const detector = new ActivityDetector({ threshold, silenceMs: 200 }, 0);
  return pieces.flatMap((samples) => detector.accept(samples, RATE_HZ));
}

/** White noise from a generator of its own: the same every time. */
function noise(durationMs: number, amplitude: number): Int16Array {
  let state = 1;
  return silence(durationMs).map(() => {
    state = (state * 48_271) % 2_147_483_647;
    return Math.round((state / 1_073_741_823.5 - 1) * amplitude);
  });
}

test("a tone between silences begins and ends where it does", () => {
  expect(detect([silence(300), tone(400, RATE_HZ), silence(400)])).toEqual([
    { type: "started", atMs: 300 },
    { type: "stopped", atMs: 900 },
  ]);
});

test("the size of the pieces changes nothing", () => {
  const whole = Int16Array.from([...silence(300), ...tone(400, RATE_HZ), ...silence(400)]);
  const pieces = Array.from({ length: Math.ceil(whole.length / 37) }, (_, index) =>
    whole.subarray(index * 37, index * 37 + 37),
  );
  expect(detect(pieces)).toEqual(detect([whole]));
});

test("a click and a pause within a sentence change nothing", () => {
  const sentence = [tone(400, RATE_HZ), silence(150), tone(400, RATE_HZ)];
  expect(detect([silence(200), tone(40, RATE_HZ), silence(300)])).toEqual([]);
  expect(detect([silence(200), ...sentence, silence(400)])).toHaveLength(2);
});

test("steady noise is no speech, and a higher threshold asks for more", () => {
  const quiet = tone(400, RATE_HZ).map((sample) => sample / 16);
  expect(detect([noise(3000, 1000)])).toEqual([]);
  expect(detect([silence(200), quiet, silence(400)])).toHaveLength(2);
  expect(detect([silence(200), quiet, silence(400)], 1)).toEqual([]);
});
