import { expect, test } from "vitest";
import { faultPlan } from "../faults.ts";
import { Dialog } from "./dialog.ts";
import type { SipResponse } from "./message.ts";
import { header, outgoing, reply, startLine, startUdp, udpPeer } from "./testing/peers.ts";

test("a request goes where its top Route says, through the name table", async () => {
  await using peer = await udpPeer();
  await using uac = await startUdp({
    resolve: (host) =>
      host === "proxy.example" ? { host: "127.0.0.1", port: peer.port } : undefined,
  });
  uac.stack.request(outgoing("OPTIONS", "sip:far.example", { Route: "<sip:proxy.example;lr>" }));
  const sent = await peer.next();
  expect(startLine(sent)).toBe("OPTIONS sip:far.example SIP/2.0");
  expect(header(sent, "Via")).toMatch(
    new RegExp(`^SIP/2.0/UDP 127.0.0.1:${uac.port};branch=z9hG4bK[0-9a-f]{24};rport$`),
  );
});

test.each([
  [
    "an unknown name",
    "sip:nobody.example",
    "SIP_UNRESOLVED",
    "no address known for nobody.example",
  ],
  [
    "a transport without listener",
    "sip:127.0.0.1;transport=tcp",
    "SIP_TRANSPORT",
    "no tcp listener",
  ],
  ["a tel URI", "tel:+1800", "SIP_UNRESOLVED", "expected a sip URI as next hop"],
])("a request to %s fails with the reason", async (_, uri, code, message) => {
  await using uac = await startUdp();
  const transaction = uac.stack.request(outgoing("OPTIONS", uri));
  await expect(transaction.final).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message),
  });
  await expect(transaction.sent).rejects.toMatchObject({ code });
  expect(uac.stack.transactions.client).toBe(0);
});

test("an aborted OPTIONS ends at once, an aborted INVITE is cancelled", async () => {
  await using peer = await udpPeer();
  await using uac = await startUdp();
  const uri = `sip:127.0.0.1:${peer.port}`;
  const stop = new AbortController();
  const options = uac.stack.request(outgoing("OPTIONS", uri), { signal: stop.signal });
  await peer.next();
  const invite = uac.stack.request(outgoing("INVITE", uri), { signal: stop.signal });
  const sent = await peer.next();
  peer.send(reply(sent, "180 Ringing", "b"));
  const responses: number[] = [];
  invite.onResponse(({ status }) => {
    responses.push(status);
    if (status === 180) stop.abort(new Error("enough"));
  });
  const cancel = await peer.next();
  expect(startLine(cancel)).toBe(`CANCEL ${uri} SIP/2.0`);
  expect(header(cancel, "Via")).toBe(header(sent, "Via"));
  await expect(options.final).rejects.toMatchObject({ code: "SIP_ABORTED" });
  peer.send(reply(cancel, "200 OK", "b"));
  peer.send(reply(sent, "487 Request Terminated", "b"));
  expect((await invite.final).status).toBe(487);
  expect(startLine(await peer.next())).toBe(`ACK ${uri} SIP/2.0`);
});

test("a request with an aborted signal is not sent", async () => {
  await using peer = await udpPeer();
  await using uac = await startUdp();
  const signal = AbortSignal.abort(new Error("too late"));
  const request = outgoing("INVITE", `sip:127.0.0.1:${peer.port}`);
  await expect(uac.stack.request(request, { signal }).final).rejects.toMatchObject({
    code: "SIP_ABORTED",
  });
});

test("both 2xx of a forked INVITE are acknowledged by their own dialog", async () => {
  await using peer = await udpPeer();
  await using uac = await startUdp();
  const request = outgoing("INVITE", `sip:127.0.0.1:${peer.port}`);
  const invite = uac.stack.request(request);
  const dialogs: string[] = [];
  invite.onResponse((response: SipResponse) => {
    const dialog = Dialog.asUac(request, response);
    dialogs.push(dialog.state.remoteTag);
    void invite.acknowledge(response, dialog.ack(1).request);
  });
  const sent = await peer.next();
  peer.send(reply(sent, "200 OK", "b1"));
  expect(header(await peer.next(), "To")).toContain("tag=b1");
  peer.send(reply(sent, "200 OK", "b2"));
  expect(header(await peer.next(), "To")).toContain("tag=b2");
  peer.send(reply(sent, "200 OK", "b1"));
  expect(header(await peer.next(), "To")).toContain("tag=b1");
  expect(dialogs).toEqual(["b1", "b2"]);
});

test("a planned loss is made good by retransmission, and shows in the trace", async () => {
  const faults = faultPlan([
    { name: "sip.lose-sent:OPTIONS", times: 1 },
    { name: "sip.lose-received:200", times: 1 },
  ]);
  await using peer = await udpPeer();
  await using uac = await startUdp({ faults, timers: { t1Ms: 20 } });
  const transaction = uac.stack.request(outgoing("OPTIONS", `sip:127.0.0.1:${peer.port}`));
  for (let copies = 0; copies < 2; copies++) peer.send(reply(await peer.next(), "200 OK", "b"));
  expect((await transaction.final).status).toBe(200);
  expect(faults.struck).toEqual(["sip.lose-sent:OPTIONS", "sip.lose-received:200"]);
  expect(uac.trace.events.filter(({ type }) => type === "fault")).toHaveLength(2);
});

test("a response of nobody is handed to who wants it", async () => {
  const strays: number[] = [];
  await using uac = await startUdp({ onResponse: ({ status }) => void strays.push(status) });
  await using peer = await udpPeer(uac.port);
  peer.send("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK9\r\nCSeq: 1 INVITE\r\n\r\n");
  await expect.poll(() => strays).toEqual([200]);
});

test("disposal ends every transaction and says why", async () => {
  await using peer = await udpPeer();
  const uac = await startUdp();
  const transaction = uac.stack.request(outgoing("INVITE", `sip:127.0.0.1:${peer.port}`));
  await peer.next();
  await uac[Symbol.asyncDispose]();
  await uac[Symbol.asyncDispose]();
  await expect(transaction.final).rejects.toMatchObject({ code: "SIP_ABORTED" });
  expect(uac.stack.transactions).toEqual({ client: 0, server: 0 });
});
