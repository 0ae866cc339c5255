import { expect, test } from "vitest";
import type { TraceDetail, TraceEvent } from "../trace.ts";
import { callPage, type ReportedCall } from "./call-page.ts";
import { overviewPage } from "./overview.ts";

const event = (at: number, party: TraceEvent["party"], detail: TraceDetail): TraceEvent => ({
  v: 1,
  at,
  party,
  ...detail,
});

const EVENTS: readonly TraceEvent[] = [
  event(0, "scenario", { type: "step", title: "customer calls", outcome: "begin" }),
  event(100, "sbc", {
    type: "sip",
    direction: "in",
    transport: "tls",
    local: "127.0.0.1:1",
    remote: "127.0.0.1:2",
    message: "INVITE sip:<script>@x SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n",
  }),
  event(200, "scenario", { type: "step", title: "customer calls", outcome: "pass" }),
  event(250, "phone", {
    type: "heard",
    kind: "phrase",
    text: "Welcome.",
    startMs: 0,
    endMs: 100,
  }),
  event(300, "scenario", { type: "step", title: "customer hears “x”", outcome: "begin" }),
  event(900, "acs", {
    type: "http",
    direction: "out",
    service: "callback",
    method: "POST",
    target: "http://agent/callbacks",
    status: 200,
    request: '[{"type":"Microsoft.Communication.CallConnected"}]',
    durationMs: 3,
  }),
];

const CALL: ReportedCall = {
  title: "a call & its <title>",
  file: "scenarios/a.scenario.ts",
  outcome: "failed",
  reason: "did not hear “x”",
  events: EVENTS,
  recordings: ["../a-call/customer.wav"],
  traceFile: "../a-call/trace.jsonl",
};

test("a call's page shows why it failed, its steps, what was heard, and its recordings", () => {
  const page = callPage(CALL);
  expect(page).toContain("a call &amp; its &lt;title&gt;");
  expect(page).toContain("did not hear “x”</pre>");
  expect(page).toContain("✓ customer calls <small>0.2 s</small>");
  expect(page).toContain("✗ customer hears “x” <small>did not end</small>");
  expect(page).toContain("<b>caller hears</b> “Welcome.”");
  expect(page).toContain('src="../a-call/customer.wav"');
  expect(page).toContain("0.9 s · ");
});

test("a row of the ladder opens to what crossed the wire, as text", () => {
  const page = callPage(CALL);
  expect(page).toContain("INVITE sip:&lt;script&gt;@x SIP/2.0");
  expect(page).not.toContain("<script>");
  expect(page).toContain("&quot;type&quot;: &quot;Microsoft.Communication.CallConnected&quot;");
  // Phone, SBC, ACS and agent took part: the arrow goes from the third lane's middle to the last's.
  expect(page).toContain('style="left: 62.50%; width: 25.00%"><span>CallConnected → 200</span>');
});

test("a page loads nothing from anywhere", () => {
  expect(callPage(CALL)).not.toMatch(/(?:src|href)="(?:https?:|\/)|@import|url\(/);
});

test("the first page has the failures whole, and a row for everything", () => {
  const skipped: ReportedCall = {
    title: "a skipped call",
    file: "scenarios/b.scenario.ts",
    outcome: "skipped",
    reason: "sipp is not installed",
    events: [],
    recordings: [],
  };
  const page = overviewPage([{ call: CALL, page: "a-call.html" }, { call: skipped }]);
  expect(page).toContain('<h1 class="failed">0 passed, 1 failed, 1 skipped</h1>');
  expect(page).toContain('<a href="a-call.html">a call &amp; its &lt;title&gt;</a></h2>');
  expect(page).toContain("a skipped call <small>sipp is not installed</small>");
  expect(page.match(/<tr>/g)).toHaveLength(3);
});
