import { defineConfig } from "vitest/config";

// The three projects run one after another (`groupOrder`): scenarios play audio in real time, and
// nothing else should compete with them for the processor.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["{agent,simulator,scenarios,bench,.ci}/**/*.test.ts"],
          setupFiles: [".ci/leaks.ts"],
          testTimeout: 15_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "scenario",
          include: ["scenarios/**/*.scenario.ts"],
          setupFiles: [".ci/leaks.ts"],
          hookTimeout: 30_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        // Scenarios run with one link of the call cut: they have to fail, and to name the link.
        test: {
          name: "links",
          include: ["scenarios/harness/**/*.links.ts"],
          testTimeout: 120_000,
          maxConcurrency: 2,
          sequence: { groupOrder: 3 },
        },
      },
      {
        // The images of docker/; skipped where no Docker engine has them.
        test: {
          name: "docker",
          include: ["scenarios/harness/**/*.docker.ts"],
          testTimeout: 180_000,
          env: { TESTCONTAINERS_RYUK_DISABLED: "true" },
          sequence: { groupOrder: 4 },
        },
      },
    ],
    maxWorkers: 2,
  },
});
