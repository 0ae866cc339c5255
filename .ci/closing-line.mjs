// Prints `N passed, N failed, N skipped` from vitest's JSON report and the names of lanes outside
// vitest that failed: the last line of a CI run.
import { readFileSync } from "node:fs";

const [file, ...lanes] = process.argv.slice(2);
const report = JSON.parse(readFileSync(file, "utf8"));
const brokenFiles = report.testResults.filter(
  (module) =>
    module.status === "failed" && module.assertionResults.every((test) => test.status !== "failed"),
).length;
const failed = report.numFailedTests + brokenFiles + lanes.length;
const skipped = report.numPendingTests + report.numTodoTests;
for (const lane of lanes) console.log(`failed: ${lane}`);
console.log(
  `\n${report.numPassedTests} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`,
);
