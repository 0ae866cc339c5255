import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { systemClock } from "../simulator/clock.ts";
import { connectDrachtio } from "../simulator/drachtio/application.ts";
import { startDrachtioDaemon } from "../simulator/drachtio/daemon.ts";
import { silentTrace } from "../simulator/trace.ts";

// How many calls a second the embedded daemon carries, with sipp (Debian: sip-tester) as the caller:
// INVITE with X- headers and SDP, 100, 200, ACK, 100 ms, BYE, 200 over UDP on the loopback.
//
//   node bench/sip.ts [--rates 100,200,400,600,800] [--seconds 10] [--processes 1,2] [--soak SECONDS]
//
// "Clean" is a rate without failed call and without retransmission.

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rates: { type: "string", default: "100,200,400,600,800" },
    seconds: { type: "string", default: "10" },
    processes: { type: "string", default: "1,2" },
    /** Calls at 200 a second for this long instead of the table. */
    soak: { type: "string" },
  },
});

const SDP = `v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 4000 RTP/AVP 0
a=rtpmap:0 PCMU/8000
`.replaceAll("\n", "\r\n");

const DIALOG = `From: <sip:+14255550100@[local_ip]:[local_port]>;tag=[pid]t[call_number]
To: <sip:+18005551234@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
Max-Forwards: 70`;

const SCENARIO = `<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="call">
<send retrans="500" start_rtd="1"><![CDATA[
INVITE sip:+18005551234@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
${DIALOG}
CSeq: 1 INVITE
Contact: <sip:[local_ip]:[local_port]>
X-Customer-ID: C-1042
X-Transfer-Reason: billing
Content-Type: application/sdp
Content-Length: [len]

v=0
o=user1 53655765 2353687637 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio 6000 RTP/AVP 0
a=rtpmap:0 PCMU/8000

]]></send>
<recv response="100" optional="true"/>
<recv response="200" rtd="1" rrs="true"/>
<send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
${DIALOG}
CSeq: 1 ACK
Content-Length: 0

]]></send>
<pause milliseconds="100"/>
<send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
${DIALOG}
CSeq: 2 BYE
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
`;

// Roles of child processes.

async function answerCalls(address: { host: string; port: number; secret: string }) {
  const srf = await connectDrachtio(address);
  srf.invite((req, res) => {
    srf
      .createUAS(req, res, { localSdp: SDP })
      .catch((error: unknown) => console.error("not answered:", error));
  });
  return srf;
}

async function runDaemonAndApplication(): Promise<void> {
  const startedAt = performance.now();
  const daemon = await startDrachtioDaemon({
    clock: systemClock(),
    trace: silentTrace,
    contacts: [{ transport: "udp", host: "127.0.0.1", port: 0 }],
  });
  await answerCalls(daemon.control);
  const port = daemon.contacts[0]?.port ?? 0;
  await firstAnswer(port);
  const tookMs = performance.now() - startedAt;
  console.log(`ready 127.0.0.1:${port} ${tookMs.toFixed(1)}`);
  process.once("SIGINT", () => process.exit(0));
  process.on("SIGUSR2", () => console.log(`load ${JSON.stringify(daemon.load)}`));
}

/** Any answer will do: the daemon is reachable, and an application has been asked. */
async function firstAnswer(port: number): Promise<void> {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  const local = `127.0.0.1:${socket.address().port}`;
  const lines = [
    `INVITE sip:127.0.0.1:${port} SIP/2.0`,
    `Via: SIP/2.0/UDP ${local};branch=z9hG4bK-first`,
    `From: <sip:${local}>;tag=1`,
    `To: <sip:127.0.0.1:${port}>`,
    "Call-ID: first",
    "CSeq: 1 INVITE",
    // Without Contact the application answers nothing but a refusal of drachtio-srf's own.
    `Contact: <sip:${local}>`,
    "Max-Forwards: 70",
    "Content-Length: 0",
  ];
  socket.send(`${lines.join("\r\n")}\r\n\r\n`, port, "127.0.0.1");
  for (let text = ""; !text.startsWith("SIP/2.0 200"); ) {
    const [bytes] = (await once(socket, "message")) as [Buffer];
    text = bytes.toString();
  }
  socket.close();
}

// The measurement.

interface Subject {
  target: string;
  startMs: number | undefined;
  processes: { name: string; child: ChildProcess }[];
}

async function startSubject(processes: number): Promise<Subject & Disposable> {
  if (processes === 1) {
    const child = start(["bench/sip.ts", "both"]);
    const [, target = "", ms] = (await line(child, /^ready/)).split(" ");
    return subject(target, [{ name: "daemon+app", child }], Number(ms));
  }
  const contact = "sip:127.0.0.1:0;transport=udp";
  const daemon = start(["simulator/drachtio/main.ts", "--contact", contact, "--port", "0"]);
  const ready = await line(daemon, /^ready/);
  const [, control = "", target = ""] = /control=\S+:(\d+) sip=udp\/(\S+)/.exec(ready) ?? [];
  const application = start(["bench/sip.ts", "app", control]);
  await line(application, /^ready/);
  const named = [
    { name: "daemon", child: daemon },
    { name: "app", child: application },
  ];
  return subject(target, named, undefined);
}

function subject(target: string, processes: Subject["processes"], startMs: number | undefined) {
  const stop = () => processes.forEach(({ child }) => child.kill("SIGKILL"));
  process.once("exit", stop);
  return { target, processes, startMs, [Symbol.dispose]: stop };
}

const start = (args: string[]) =>
  spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });

async function line(child: ChildProcess, pattern: RegExp): Promise<string> {
  if (child.stdout === null) throw new Error("expected a child with stdout");
  const lines = createInterface({ input: child.stdout });
  for (;;) {
    const [text] = (await once(lines, "line")) as [string];
    if (pattern.test(text)) return text;
  }
}

interface Sample {
  cpuMs: number;
  rssMb: number;
}

/** User and system time and resident memory, as Linux counts them (100 ticks a second). */
function sample(child: ChildProcess): Sample {
  const stat = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
  const rssKb = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
  return { cpuMs: (Number(stat[11]) + Number(stat[12])) * 10, rssMb: rssKb / 1024 };
}

interface Load {
  failed: number;
  retransmissions: number;
  successful: number;
  responseMs: number;
  seconds: number;
}

async function callMany(target: string, rate: number, seconds: number): Promise<Load> {
  const directory = mkdtempSync(join(tmpdir(), "bench-sip-"));
  const scenario = join(directory, "call.xml");
  const statistics = join(directory, "statistics.csv");
  writeFileSync(scenario, SCENARIO);
  const startedAt = performance.now();
  const sipp = spawn(
    "sipp",
    `-sf ${scenario} -i 127.0.0.1 -r ${rate} -m ${rate * seconds} -l ${rate * 40} -nostdin
      -trace_stat -stf ${statistics} -fd 1 -timeout ${seconds + 40} ${target}`.split(/\s+/),
    { stdio: "ignore" },
  );
  await once(sipp, "exit");
  const elapsedMs = performance.now() - startedAt;
  const [names = [], ...rows] = readFileSync(statistics, "utf8")
    .trim()
    .split("\n")
    .map((row) => row.split(";"));
  const last = rows.at(-1) ?? [];
  rmSync(directory, { recursive: true });
  const value = (name: string) => last[names.indexOf(name)] ?? "";
  return {
    failed: Number(value("FailedCall(C)")),
    retransmissions: Number(value("Retransmissions(C)")),
    successful: Number(value("SuccessfulCall(C)")),
    responseMs: toMs(value("ResponseTime1(C)")),
    seconds: elapsedMs / 1_000,
  };
}

/** sipp writes `00:00:00:001234`: hours, minutes, seconds, microseconds. */
function toMs(text: string): number {
  const [, seconds = 0, micros = 0] = /:(\d+):(\d+)$/.exec(text) ?? [];
  return Number(seconds) * 1_000 + Number(micros) / 1_000;
}

async function measure(measured: Subject, rate: number, seconds: number): Promise<boolean> {
  const before = measured.processes.map(({ child }) => sample(child));
  const load = await callMany(measured.target, rate, seconds);
  const usage = measured.processes.map(({ name, child }, at) => {
    const after = sample(child);
    const perCall = (after.cpuMs - (before[at]?.cpuMs ?? 0)) / Math.max(1, load.successful);
    return `${name} ${perCall.toFixed(2)} ms CPU/call, ${after.rssMb.toFixed(0)} MB`;
  });
  const clean = load.failed === 0 && load.retransmissions === 0;
  console.log(
    `${String(rate).padStart(6)} calls/s: ${clean ? "clean" : "NOT CLEAN"}, ${load.successful} ok,` +
      ` ${load.failed} failed, ${load.retransmissions} retransmitted,` +
      ` INVITE->200 ${load.responseMs.toFixed(1)} ms mean; ${usage.join("; ")}`,
  );
  return clean;
}

async function soak(seconds: number): Promise<void> {
  const rate = 200;
  using measured = await startSubject(1);
  const [watched] = measured.processes;
  if (watched === undefined) return;
  const points: { at: number; rssMb: number }[] = [];
  const startedAt = performance.now();
  const timer = setInterval(() => {
    const at = (performance.now() - startedAt) / 60_000;
    points.push({ at, rssMb: sample(watched.child).rssMb });
  }, 5_000);
  await measure(measured, rate, seconds);
  clearInterval(timer);
  // The first third is warm-up: the heap grows to its working size.
  const settled = points.slice(Math.ceil(points.length / 3));
  console.log(`memory slope ${slope(settled).toFixed(2)} MB/min over ${settled.length} samples`);
  // Timer J keeps answered transactions for 64*T1 = 32 s.
  await new Promise((resolve) => {
    setTimeout(resolve, 35_000);
  });
  const left = line(watched.child, /^load/);
  watched.child.kill("SIGUSR2");
  console.log(await left);
}

const mean = (list: number[]) => list.reduce((sum, each) => sum + each, 0) / list.length;

/** Least squares. */
function slope(points: readonly { at: number; rssMb: number }[]): number {
  const at = mean(points.map((point) => point.at));
  const rss = mean(points.map((point) => point.rssMb));
  const top = points.reduce((sum, point) => sum + (point.at - at) * (point.rssMb - rss), 0);
  const bottom = points.reduce((sum, point) => sum + (point.at - at) ** 2, 0);
  return top / bottom;
}

async function main(): Promise<void> {
  if (values.soak !== undefined) return soak(Number(values.soak));
  for (const processes of values.processes.split(",").map(Number)) {
    using measured = await startSubject(processes);
    const started =
      measured.startMs === undefined ? "" : `, first answer ${measured.startMs} ms after import`;
    console.log(`${processes === 1 ? "one process" : "two processes"}${started}`);
    let cleanest = 0;
    for (const rate of values.rates.split(",").map(Number)) {
      const clean = await measure(measured, rate, Number(values.seconds));
      if (clean) cleanest = rate;
      else break;
    }
    console.log(`clean to ${cleanest} calls/s`);
  }
}

const [role, port] = positionals;
if (role === "both") {
  await runDaemonAndApplication();
} else if (role === "app") {
  await answerCalls({ host: "127.0.0.1", port: Number(port), secret: "cymru" });
  console.log("ready");
} else {
  await main();
}
