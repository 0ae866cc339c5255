import { expect, test } from "vitest";
import { faultPlan } from "../faults.ts";
import type { TransportName } from "./connection.ts";
import { Dialog, dialogIdOf } from "./dialog.ts";
import type { SipRequest } from "./message.ts";
import type { SipStackOptions } from "./stack.ts";
import { outgoing, startUdp } from "./testing/peers.ts";
import type { ServerTransaction } from "./transaction.ts";

/** Long enough for a busy machine between two repetitions, short enough for a test. */
const timers = { t1Ms: 60, t2Ms: 240, t4Ms: 300, timeoutMs: 3840, dMs: 300 };

/** A callee that rings, answers, and serves what comes within the dialog. */
async function startCallee(transport: TransportName, options: Partial<SipStackOptions> = {}) {
  const dialogs = new Map<string, Dialog>();
  const log: string[] = [];
  const contact = { Contact: `<sip:callee@127.0.0.1;transport=${transport}>` };

  const establish = (transaction: ServerTransaction) => {
    transaction.respond(180);
    const dialog = Dialog.asUas(
      transaction.request,
      transaction.respond(200, { headers: contact }),
    );
    dialogs.set(dialog.id, dialog);
    transaction.onAck(() => log.push("ACK"));
  };
  const serve = (transaction: ServerTransaction, dialog: Dialog | undefined) => {
    const { request } = transaction;
    if (dialog === undefined) return transaction.respond(481);
    if (!dialog.receive(request)) return transaction.respond(500);
    log.push(request.method);
    if (request.method === "BYE") dialogs.delete(dialog.id);
    return transaction.respond(200, request.method === "INVITE" ? { headers: contact } : {});
  };
  const callee = await startUdp({
    listen: [{ transport, host: "127.0.0.1", port: 0 }],
    timers,
    onRequest: (transaction) => {
      const { request } = transaction;
      if (request.toTag === undefined) establish(transaction);
      else serve(transaction, dialogs.get(dialogIdOf(request)));
    },
    ...options,
  });
  contact.Contact = `<sip:callee@127.0.0.1:${callee.port};transport=${transport}>`;
  return { ...callee, dialogs, log };
}

/** INVITE, ACK, re-INVITE, ACK, BYE from a stack of its own; the BYE's status. */
async function call(
  port: number,
  transport: TransportName,
  options: Partial<SipStackOptions> = {},
) {
  await using caller = await startUdp({
    listen: [{ transport, host: "127.0.0.1", port: 0 }],
    timers,
    ...options,
  });
  const send = async (request: SipRequest) => {
    const transaction = caller.stack.request(request);
    const response = await transaction.final;
    return { transaction, response };
  };
  const invite = outgoing("INVITE", `sip:callee@127.0.0.1:${port};transport=${transport}`, {
    Contact: `<sip:caller@127.0.0.1:${caller.port};transport=${transport}>`,
  });
  const first = await send(invite);
  const dialog = Dialog.asUac(invite, first.response);
  await first.transaction.acknowledge(first.response, dialog.ack(1).request);
  const second = await send(dialog.request("INVITE").request);
  await second.transaction.acknowledge(second.response, dialog.ack(2).request);
  const bye = await send(dialog.request("BYE").request);
  return bye.response.status;
}

test.each(["udp", "tcp", "ws"] as const)("a whole call goes over %s", async (transport) => {
  await using callee = await startCallee(transport);
  expect(await call(callee.port, transport)).toBe(200);
  expect(callee.log).toEqual(["ACK", "INVITE", "BYE"]);
  expect(callee.dialogs.size).toBe(0);
});

test.each(["INVITE", "100", "180", "200", "ACK", "BYE"])(
  "a call over UDP survives the loss of its first two %s",
  async (lost) => {
    const faults = faultPlan([{ name: `sip.lose-received:${lost}`, times: 2 }]);
    const isResponse = /^\d/.test(lost);
    await using callee = await startCallee("udp", isResponse ? {} : { faults });
    expect(await call(callee.port, "udp", isResponse ? { faults } : {})).toBe(200);
    expect(faults.struck.length).toBeGreaterThan(0);
    await expect.poll(() => callee.log.filter((entry) => entry === "INVITE")).toHaveLength(1);
    expect(callee.dialogs.size).toBe(0);
  },
);

test("requests of a dialog may come from anywhere; those of none get 481", async () => {
  await using callee = await startCallee("tcp");
  await using caller = await startUdp({
    listen: [{ transport: "tcp", host: "127.0.0.1", port: 0 }],
  });
  const uri = `sip:callee@127.0.0.1:${callee.port};transport=tcp`;
  const invite = outgoing("INVITE", uri, { Contact: "<sip:caller@127.0.0.1>" });
  const transaction = caller.stack.request(invite);
  const response = await transaction.final;
  const dialog = Dialog.asUac(invite, response);
  await transaction.acknowledge(response, dialog.ack(1).request);
  const { request: info } = dialog.request("INFO");
  const elsewhere = { localAddress: "127.0.0.3", newConnection: true };
  expect((await caller.stack.request(info, elsewhere).final).status).toBe(200);
  dialog.state.remoteAddress = dialog.state.remoteAddress.replace(/tag=.*/, "tag=unknown");
  const { request: stray } = dialog.request("BYE");
  expect((await caller.stack.request(stray).final).status).toBe(481);
});

test("a request out of order gets 500", async () => {
  await using callee = await startCallee("udp");
  await using caller = await startUdp();
  const invite = outgoing("INVITE", `sip:callee@127.0.0.1:${callee.port}`, {
    CSeq: "7 INVITE",
    Contact: "<sip:caller@127.0.0.1>",
  });
  const transaction = caller.stack.request(invite);
  const response = await transaction.final;
  const dialog = Dialog.asUac(invite, response);
  await transaction.acknowledge(response, dialog.ack(7).request);
  const late = dialog.request("INFO", { number: 3 }).request;
  expect((await caller.stack.request(late).final).status).toBe(500);
});
