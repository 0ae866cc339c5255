import { expect, test } from "vitest";
import { addCorrelations } from "./cross-correlation.ts";

const still = Float32Array.from({ length: 40 }, (_, index) => (index * 7) % 11);
const moving = Float32Array.from({ length: 60 }, (_, index) => (index * 5) % 13);

test.each([1, 3, 4, 6, 9])("%d shifts are summed, each by itself", (count) => {
  const sums = new Float64Array(count).fill(100);
  addCorrelations(sums, { values: still, at: 2, length: 31 }, { values: moving, at: 3 });
  for (const [shift, sum] of sums.entries()) {
    const products = Array.from(still.subarray(2, 33), (value, index) => {
      return value * (moving[3 + shift + index] ?? 0);
    });
    expect(sum).toBe(100 + products.reduce((total, product) => total + product, 0));
  }
});

test("nothing to compare adds nothing", () => {
  const sums = new Float64Array(5);
  addCorrelations(sums, { values: still, at: 0, length: 0 }, { values: moving, at: 0 });
  expect([...sums]).toEqual([0, 0, 0, 0, 0]);
});
