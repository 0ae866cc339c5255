import { expect, test } from "vitest";
import { openTestDaemon, request, SDP, type TestDaemon } from "./testing/daemon.ts";
import { answer, header, openTestPeer, type TestPeer } from "./testing/peer.ts";

interface ProxyResults {
  connected: boolean;
  finalStatus: number;
  responses: { address: string; port: number; msgs: { status: number }[] }[];
}

/** Lets the application proxy the next INVITE; resolves with what drachtio-srf makes of it. */
function proxying({ srf }: TestDaemon, destinations: string[], options: object = {}) {
  const { promise, resolve, reject } = Promise.withResolvers<ProxyResults>();
  promise.catch(() => {});
  srf.invite((req) => {
    const proxied = srf.proxyRequest(
      req,
      destinations,
      options,
    ) as unknown as Promise<ProxyResults>;
    proxied.then(resolve, reject);
  });
  return promise;
}

const uriOf = (peer: TestPeer) => `sip:b@127.0.0.1:${peer.port}`;
const CONTACT = "Contact: <sip:b@127.0.0.1:{port}>";
const statuses = ({ responses }: ProxyResults) =>
  responses.flatMap(({ msgs }) => msgs.map(({ status }) => status));

test("a call is proxied along a recorded route, to its end", async () => {
  await using lab = await openTestDaemon();
  await using callee = await openTestPeer({ peer: lab.port });
  const { peer, port } = lab;
  const options = { remainInDialog: true, headers: { "X-Hop": "1" } };
  const proxied = proxying(lab, [`127.0.0.1:${callee.port}`], options);
  peer.send(request("INVITE", { body: SDP, headers: "Content-Type: application/sdp" }));
  const invite = await callee.receive(/^INVITE/);
  expect(invite).toMatch(new RegExp(`^INVITE sip:127.0.0.1:${callee.port} SIP/2.0\r\n`));
  expect(invite.match(/^Via:/gm)).toHaveLength(2);
  expect(header(invite, "Record-Route")).toBe(`<sip:127.0.0.1:${port};lr>`);
  expect(header(invite, "Max-Forwards")).toBe("69");
  expect(header(invite, "X-Hop")).toBe("1");
  callee.send(answer(invite, "180 Ringing"));
  expect((await peer.receive(/^SIP\/2.0 180/)).match(/^Via:/gm)).toHaveLength(1);
  callee.send(answer(invite, "200 OK", [CONTACT, "", SDP]));
  const ok = await peer.receive(/^SIP\/2.0 200/);
  expect(header(ok, "Record-Route")).toBe(`<sip:127.0.0.1:${port};lr>`);
  expect(await proxied).toMatchObject({ connected: true, finalStatus: 200 });
  expect(statuses(await proxied)).toEqual([200]);

  const headers = `Route: <sip:127.0.0.1:${port};lr>`;
  const to = header(ok, "To");
  const inDialog = (method: string, cseq: number) =>
    request(method, { to, cseq, headers }).replace("sip:a@127.0.0.1:{peer}", uriOf(callee));
  peer.send(inDialog("ACK", 1));
  const ack = await callee.receive(/^ACK/);
  expect(ack).toMatch(new RegExp(`^ACK ${uriOf(callee)} SIP/2.0`));
  expect(ack).not.toMatch(/^Route:/m);
  peer.send(inDialog("BYE", 2));
  callee.send(answer(await callee.receive(/^BYE/), "200 OK"));
  expect(await peer.receive(/CSeq: 2 BYE/)).toMatch(/^SIP\/2.0 200/);
  callee.send(
    request("INFO", { cseq: 3, headers })
      .replace("sip:a@127.0.0.1:{peer}", uriOf(peer))
      .replace(/^To:.*$/m, "To: <sip:bob@x>;tag=from-c1"),
  );
  expect(await peer.receive(/^INFO/)).toMatch(new RegExp(`^INFO ${uriOf(peer)} `));
});

test("destinations are tried one after the other, and the caller gets the best refusal", async () => {
  await using lab = await openTestDaemon();
  await using first = await openTestPeer({ peer: lab.port });
  await using second = await openTestPeer({ peer: lab.port });
  const proxied = proxying(lab, [uriOf(first), uriOf(second)]);
  lab.peer.send(request("INVITE"));
  first.send(answer(await first.receive(/^INVITE/), "404 Not Found"));
  await first.receive(/^ACK/);
  expect(lab.peer.drain().some((text) => text.includes("404"))).toBe(false);
  second.send(answer(await second.receive(/^INVITE/), "500 Server Error"));
  await second.receive(/^ACK/);
  await lab.peer.receive(/^SIP\/2.0 404/);
  lab.peer.send(request("ACK").replace("-ACK\n", "-INVITE\n"));
  expect(statuses(await proxied)).toEqual([404, 500]);
  expect(await proxied).toMatchObject({ connected: false });
});

test("simultaneous destinations ring together; who loses is cancelled", async () => {
  await using lab = await openTestDaemon();
  await using first = await openTestPeer({ peer: lab.port });
  await using second = await openTestPeer({ peer: lab.port });
  const proxied = proxying(lab, [uriOf(first), uriOf(second)], { forking: "simultaneous" });
  lab.peer.send(request("INVITE"));
  const [ringing, winning] = [await first.receive(/^INVITE/), await second.receive(/^INVITE/)];
  first.send(answer(ringing, "180 Ringing", [], "first"));
  await lab.peer.receive(/^SIP\/2.0 180/);
  second.send(answer(winning, "200 OK", [CONTACT], "second"));
  expect(header(await lab.peer.receive(/^SIP\/2.0 200/), "To")).toContain("tag=second");
  const cancel = await first.receive(/^CANCEL/);
  first.send(answer(cancel, "200 OK"));
  first.send(answer(ringing, "487 Request Terminated", [], "first"));
  await first.receive(/^ACK/);
  expect(await proxied).toMatchObject({ connected: true });
});

test("a repeated 2xx is passed on, for the caller to acknowledge", async () => {
  await using lab = await openTestDaemon();
  await using callee = await openTestPeer({ peer: lab.port });
  void proxying(lab, [uriOf(callee)]);
  lab.peer.send(request("INVITE"));
  const ok = answer(await callee.receive(/^INVITE/), "200 OK", [CONTACT]);
  callee.send(ok);
  await lab.peer.receive(/^SIP\/2.0 200/);
  callee.send(ok);
  await lab.peer.receive(/^SIP\/2.0 200/);
  expect(lab.daemon.load.dialogs).toBe(0);
});

test("redirects are followed when asked for", async () => {
  await using lab = await openTestDaemon();
  await using first = await openTestPeer({ peer: lab.port });
  await using second = await openTestPeer({ peer: lab.port });
  const proxied = proxying(lab, [uriOf(first)], { followRedirects: true });
  lab.peer.send(request("INVITE"));
  const moved = `Contact: <${uriOf(second)}>`;
  first.send(answer(await first.receive(/^INVITE/), "302 Moved Temporarily", [moved]));
  second.send(answer(await second.receive(/^INVITE/), "200 OK", [CONTACT]));
  await lab.peer.receive(/^SIP\/2.0 200/);
  expect(statuses(await proxied)).toEqual([302, 200]);
});

test("a redirect is handed back when nobody asked to follow it", async () => {
  await using lab = await openTestDaemon();
  await using first = await openTestPeer({ peer: lab.port });
  void proxying(lab, [uriOf(first)]);
  lab.peer.send(request("INVITE"));
  const moved = "Contact: <sip:elsewhere.test>";
  first.send(answer(await first.receive(/^INVITE/), "302 Moved Temporarily", [moved]));
  expect(await lab.peer.receive(/^SIP\/2.0 302/)).toContain(moved);
});

test("a destination that stays silent is passed over", async () => {
  await using lab = await openTestDaemon();
  await using first = await openTestPeer({ peer: lab.port });
  await using second = await openTestPeer({ peer: lab.port });
  void proxying(lab, [uriOf(first), uriOf(second)], { provisionalTimeout: "50ms" });
  lab.peer.send(request("INVITE"));
  await first.receive(/^INVITE/);
  second.send(answer(await second.receive(/^INVITE/), "486 Busy Here"));
  expect(await lab.peer.receive(/^SIP\/2.0 [2-6]/)).toMatch(/^SIP\/2.0 486/);
});

test("a destination that only rings is given up after the final time-out", async () => {
  await using lab = await openTestDaemon();
  await using first = await openTestPeer({ peer: lab.port });
  const proxied = proxying(lab, [uriOf(first)], { finalTimeout: "80ms" });
  lab.peer.send(request("INVITE"));
  first.send(answer(await first.receive(/^INVITE/), "180 Ringing"));
  await first.receive(/^CANCEL/);
  await lab.peer.receive(/^SIP\/2.0 408/);
  expect(statuses(await proxied)).toEqual([]);
});

test("a challenge ends the search and reaches the caller", async () => {
  await using lab = await openTestDaemon();
  await using first = await openTestPeer({ peer: lab.port });
  await using second = await openTestPeer({ peer: lab.port });
  void proxying(lab, [uriOf(first), uriOf(second)]);
  lab.peer.send(request("INVITE"));
  const challenge = 'Proxy-Authenticate: Digest realm="r", nonce="n"';
  first.send(
    answer(await first.receive(/^INVITE/), "407 Proxy Authentication Required", [challenge]),
  );
  expect(await lab.peer.receive(/^SIP\/2.0 407/)).toContain(challenge);
  expect(second.drain()).toEqual([]);
});

test("a caller who gives up cancels what rings", async () => {
  await using lab = await openTestDaemon();
  await using callee = await openTestPeer({ peer: lab.port });
  void proxying(lab, [uriOf(callee)]);
  lab.peer.send(request("INVITE"));
  const invite = await callee.receive(/^INVITE/);
  callee.send(answer(invite, "180 Ringing"));
  await lab.peer.receive(/^SIP\/2.0 180/);
  lab.peer.send(request("CANCEL").replace("-CANCEL\n", "-INVITE\n"));
  await lab.peer.receive(/^SIP\/2.0 487/);
  callee.send(answer(await callee.receive(/^CANCEL/), "200 OK"));
  callee.send(answer(invite, "487 Request Terminated"));
  expect(await callee.receive(/^ACK/)).toContain("tag=peer");
});

test("Max-Forwards 0 goes no further", async () => {
  await using lab = await openTestDaemon();
  const proxied = proxying(lab, ["sip:b@127.0.0.1:9"]);
  lab.peer.send(request("INVITE").replace("Max-Forwards: 70", "Max-Forwards: 0"));
  await lab.peer.receive(/^SIP\/2.0 483/);
  await expect(proxied).rejects.toContain("Rejected with 483 Too Many Hops");
});

test("a request that was answered cannot be proxied", async () => {
  await using lab = await openTestDaemon();
  const { srf, peer } = lab;
  const refused = new Promise((resolve) => {
    srf.invite((req, res) => {
      res.send(486);
      srf.proxyRequest(req, "sip:b@127.0.0.1:9", {}, resolve);
    });
  });
  peer.send(request("INVITE"));
  expect(await refused).toMatch(/^Unknown transaction id: /);
});

test("a destination nobody can reach becomes a refusal", async () => {
  await using lab = await openTestDaemon({ resolve: () => undefined });
  void proxying(lab, ["sip:b@nowhere.test"]);
  lab.peer.send(request("INVITE"));
  expect(await lab.peer.receive(/^SIP\/2.0 [2-6]/)).toMatch(/^SIP\/2.0 503/);
});

test("another Request-URI is kept; the destination is the next hop", async () => {
  await using lab = await openTestDaemon();
  await using callee = await openTestPeer({ peer: lab.port });
  void proxying(lab, [uriOf(callee)]);
  lab.peer.send(request("INVITE").replace("sip:a@127.0.0.1:{peer}", "sip:a@example.com"));
  expect(await callee.receive(/^INVITE/)).toMatch(/^INVITE sip:a@example.com SIP/);
});

test("REGISTER leaves a Path", async () => {
  await using lab = await openTestDaemon();
  await using registrar = await openTestPeer({ peer: lab.port });
  lab.srf.use("register", (req) => {
    lab.srf.proxyRequest(req, uriOf(registrar), { remainInDialog: true });
  });
  lab.peer.send(request("REGISTER"));
  const register = await registrar.receive(/^REGISTER/);
  expect(header(register, "Path")).toBe(`<sip:127.0.0.1:${lab.port};lr>`);
  expect(header(register, "Require")).toBe("path");
  registrar.send(answer(register, "200 OK"));
  await lab.peer.receive(/^SIP\/2.0 200/);
});
