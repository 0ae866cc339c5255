import { expect, test } from "vitest";
import { ANSWERED, call, connected } from "./testing/calls.ts";
import { openTestDaemon } from "./testing/daemon.ts";
import { answer, header } from "./testing/peer.ts";

test("a reliable provisional response is acknowledged with PRACK, its repetition ignored", async () => {
  await using lab = await openTestDaemon();
  const seen: number[] = [];
  const { dialog } = call(lab, { onProvisional: ({ status }) => seen.push(status) });
  const invite = await lab.peer.receive(/^INVITE/);
  const headers = ["Require: 100rel", "RSeq: 11", "Contact: <sip:early@127.0.0.1:{port}>"];
  const ringing = answer(invite, "180 Ringing", headers);
  lab.peer.send(ringing);
  lab.peer.send(ringing);
  const prack = await lab.peer.receive(/^PRACK/);
  expect(prack).toMatch(/^PRACK sip:early@127.0.0.1/);
  expect(header(prack, "RAck")).toBe(`11 ${header(invite, "CSeq")}`);
  expect(header(prack, "To")).toContain("tag=peer");
  lab.peer.send(answer(prack, "200 OK"));
  lab.peer.send(answer(invite, "200 OK", ANSWERED));
  await dialog;
  expect(seen).toEqual([180]);
  expect(lab.peer.drain().filter((text) => text.startsWith("PRACK"))).toEqual([]);
});

test("the 2xx of a second branch is acknowledged with its own tag and ended", async () => {
  await using lab = await openTestDaemon();
  const { invite, dialog } = await connected(lab);
  let destroyed = false;
  dialog.on("destroy", () => {
    destroyed = true;
  });
  lab.peer.send(answer(invite, "200 OK", ANSWERED, "branch2"));
  expect(header(await lab.peer.receive(/^ACK/), "To")).toContain("tag=branch2");
  const bye = await lab.peer.receive(/^BYE/);
  expect(header(bye, "To")).toContain("tag=branch2");
  lab.peer.send(answer(bye, "200 OK"));
  expect(dialog.sip.remoteTag).toBe("peer");
  const info = dialog.request({ method: "INFO" } as never);
  const wire = await lab.peer.receive(/^INFO/);
  expect(header(wire, "To")).toContain("tag=peer");
  lab.peer.send(answer(wire, "200 OK"));
  await info;
  expect([destroyed, lab.daemon.load.dialogs]).toEqual([false, 1]);
});

test("a call that only ever rang leaves no dialog behind", async () => {
  await using lab = await openTestDaemon({ timers: { t1Ms: 20, timeoutMs: 60 } });
  const { dialog, sent } = call(lab);
  const invite = await lab.peer.receive(/^INVITE/);
  lab.peer.send(answer(invite, "180 Ringing"));
  await expect.poll(() => lab.daemon.load.dialogs).toBe(1);
  (await sent).cancel(() => {});
  lab.peer.send(answer(await lab.peer.receive(/^CANCEL/), "200 OK"));
  await expect(dialog).rejects.toMatchObject({ status: 408 });
  expect(lab.daemon.load.dialogs).toBe(0);
});

test("of two branches that ring, each gets its PRACK, and the one that answers stays", async () => {
  await using lab = await openTestDaemon();
  const { dialog } = call(lab);
  const invite = await lab.peer.receive(/^INVITE/);
  const ringing = (branch: string, rseq: number) =>
    answer(
      invite,
      "180 Ringing",
      ["Require: 100rel", `RSeq: ${rseq}`, `Contact: <sip:${branch}@127.0.0.1:{port}>`],
      branch,
    );
  lab.peer.send(ringing("left", 1));
  const first = await lab.peer.receive(/^PRACK/);
  lab.peer.send(answer(first, "200 OK"));
  lab.peer.send(ringing("right", 7));
  const second = await lab.peer.receive(/^PRACK/);
  lab.peer.send(answer(second, "200 OK"));
  expect([header(first, "To"), header(second, "To")].map((to) => to.split("tag=")[1])).toEqual([
    "left",
    "right",
  ]);
  expect(second).toMatch(/^PRACK sip:right@127.0.0.1/);
  lab.peer.send(answer(invite, "200 OK", ANSWERED, "left"));
  expect((await dialog).sip.remoteTag).toBe("left");
  expect(lab.daemon.load.dialogs).toBe(1);
});
