import { defineConfig } from "vitest/config";

// Scenarios run real audio in real time and mostly wait; two files at once keep two cores busy
// without pushing any frame late. A step's own deadline is shorter than the test's time-out.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          setupFiles: [".ci/leaks.ts"],
          include: ["{agent,simulator,scenarios,bench,.ci}/**/*.test.ts"],
          testTimeout: 15_000,
        },
      },
      {
        test: {
          name: "scenario",
          setupFiles: [".ci/leaks.ts"],
          include: ["scenarios/**/*.scenario.ts"],
          testTimeout: 90_000,
          hookTimeout: 30_000,
        },
      },
    ],
    maxWorkers: 2,
  },
});
