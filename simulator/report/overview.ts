import { durationMs, MARKS, type Outcome, page, type ReportedCall, seconds } from "./call-page.ts";
import { type Html, html } from "./html.ts";

export interface OverviewEntry {
  readonly call: ReportedCall;
  /** The call's own page; left out for one that never began. */
  readonly page?: string;
}

/** The report's first page: failures first and whole, then everything in a table. */
export function overviewPage(entries: readonly OverviewEntry[]): string {
  const failures = entries.filter(({ call }) => call.outcome === "failed");
  return page(
    headline(entries),
    html`<h1 class="${failures.length > 0 ? "failed" : "passed"}">${headline(entries)}</h1>
${failures.map(failure)}
<table>
<thead><tr><th></th><th>call</th><th>steps</th><th>took</th><th>file</th></tr></thead>
<tbody>${entries.map(row)}</tbody>
</table>`,
  );
}

function headline(entries: readonly OverviewEntry[]): string {
  const count = (outcome: Outcome) => entries.filter(({ call }) => call.outcome === outcome).length;
  const skipped = count("skipped") === 0 ? "" : `, ${count("skipped")} skipped`;
  return `${count("passed")} passed, ${count("failed")} failed${skipped}`;
}

function failure(entry: OverviewEntry): Html {
  return html`<section class="failure"><h2>${link(entry)}</h2><pre class="reason">${entry.call.reason ?? ""}</pre></section>`;
}

function row(entry: OverviewEntry): Html {
  const { outcome, events, file, reason } = entry.call;
  const steps = events.filter((event) => event.type === "step" && event.outcome === "pass").length;
  const why = outcome === "skipped" ? html` <small>${reason ?? ""}</small>` : html``;
  const took = events.length === 0 ? "" : seconds(durationMs(events));
  return html`<tr><td class="${outcome}">${MARKS[outcome]}</td><td>${link(entry)}${why}</td><td>${steps}</td><td>${took}</td><td>${file}</td></tr>`;
}

function link({ call, page: target }: OverviewEntry): Html {
  return target === undefined ? html`${call.title}` : html`<a href="${target}">${call.title}</a>`;
}
