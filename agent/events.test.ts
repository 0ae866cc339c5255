import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseEventGrid, parseMidCallEvents } from "./events.ts";

const INCOMING = JSON.parse(
  readFileSync(new URL("../fixtures/wire/agent-incoming-call.json", import.meta.url), "utf8"),
);

test("IncomingCall gives the context, the caller and the headers", () => {
  expect(parseEventGrid(INCOMING)).toEqual([
    {
      type: "incoming",
      call: {
        eventId: "9c1b8a1e-2f5f-4d31-9f0f-0a6f3c2b7d11",
        incomingCallContext: INCOMING[0].data.incomingCallContext,
        correlationId: "f6f1f3a0-6a5c-4c0e-8a52-3f0b7c3d9a10",
        callerNumber: "+14255550100",
        context: { customerId: "C-1042", transferReason: "billing" },
      },
    },
  ]);
});

test("the CloudEvents schema is one object with a type", () => {
  const { eventType, ...event } = INCOMING[0];
  expect(parseEventGrid({ ...event, type: eventType, specversion: "1.0" })).toEqual(
    parseEventGrid(INCOMING),
  );
});

test("a call without custom headers has an empty context", () => {
  const { customContext: _, ...data } = INCOMING[0].data;
  const [message] = parseEventGrid([{ ...INCOMING[0], data }]) ?? [];
  expect(message).toMatchObject({ call: { context: {} } });
});

test.each([
  [{ kind: "phoneNumber", rawId: "4:anonymous", phoneNumber: { value: "" } }, "anonymous"],
  [{ rawId: "4:+14255550100" }, "+14255550100"],
  [{ kind: "communicationUser", rawId: "8:acs:guid_guid" }, "anonymous"],
  [undefined, "anonymous"],
])("the caller %j is %s", (from, number) => {
  const [message] = parseEventGrid([{ ...INCOMING[0], data: { ...INCOMING[0].data, from } }]) ?? [];
  expect(message).toMatchObject({ call: { callerNumber: number } });
});

test("the validation event gives its code", () => {
  const event = {
    id: "1",
    topic: "t",
    subject: "",
    data: { validationCode: "512d38b6", validationUrl: "https://rp.test" },
    eventType: "Microsoft.EventGrid.SubscriptionValidationEvent",
    eventTime: "2026-01-01T00:00:00Z",
    metadataVersion: "1",
    dataVersion: "1",
  };
  expect(parseEventGrid([event])).toEqual([{ type: "validation", code: "512d38b6" }]);
});

test("every mid-call event of a batch is read", () => {
  const events = parseMidCallEvents([
    {
      id: "1",
      source: "calling/callConnections/c",
      type: "Microsoft.Communication.CallTransferFailed",
      data: {
        callConnectionId: "c",
        operationContext: "op",
        resultInformation: { code: 486, subCode: 560486, message: "Busy Here" },
      },
      specversion: "1.0",
    },
    { id: "2", type: "Microsoft.Communication.CallConnected", data: { callConnectionId: "c" } },
  ]);
  expect(events).toEqual([
    {
      id: "1",
      type: "CallTransferFailed",
      callConnectionId: "c",
      operationContext: "op",
      code: 486,
      subCode: 560486,
    },
    {
      id: "2",
      type: "CallConnected",
      callConnectionId: "c",
      operationContext: undefined,
      code: undefined,
      subCode: undefined,
    },
  ]);
});

test.each([
  null,
  [],
  7,
  "text",
  {},
  [null],
  [{ id: "1" }],
  Array.from({ length: 101 }, () => INCOMING[0]),
])("%# is no delivery of events", (body) => {
  expect(parseEventGrid(body)).toBeUndefined();
  expect(parseMidCallEvents(body)).toBeUndefined();
});
