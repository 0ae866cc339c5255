import type { Fault } from "../faults.ts";
import { seededIds } from "./ids.ts";

const LATEST_INCOMING_CALL_MS = 1_500;

/**
 * The mid-call events that are put into disorder, and how late each may come without the world
 * giving up on the application. A seed draws in this order: new types go to the end.
 */
const LATEST_MS: Readonly<Record<string, number>> = {
  CallConnected: 1_500,
  ParticipantsUpdated: 3_000,
  MediaStreamingStarted: 3_000,
  CallTransferAccepted: 2_000,
  CallDisconnected: 2_000,
  AnswerFailed: 1_500,
  CreateCallFailed: 1_500,
  ConnectFailed: 1_500,
  CallTransferFailed: 2_000,
  MediaStreamingStopped: 3_000,
  MediaStreamingFailed: 2_000,
  TranscriptionStarted: 3_000,
  TranscriptionStopped: 3_000,
  TranscriptionFailed: 2_000,
  PlayStarted: 1_000,
  PlayCompleted: 1_000,
  PlayFailed: 1_000,
  PlayCanceled: 1_000,
  RecognizeCompleted: 1_000,
  RecognizeFailed: 1_000,
  RecognizeCanceled: 1_000,
  ContinuousDtmfRecognitionToneReceived: 1_000,
  SendDtmfTonesCompleted: 1_000,
  AddParticipantSucceeded: 2_000,
  AddParticipantFailed: 2_000,
  RemoveParticipantSucceeded: 2_000,
  RecordingStateChanged: 2_000,
};

/**
 * The disorder of one seed: for each kind of event that ACS posts, whether it is held back, sent
 * twice, and spread so that copies and neighbours change places. Event Grid and the callbacks
 * promise no more than delivery at least once, in any order.
 */
export function disorder(seed: number): Fault[] {
  const dice = seededIds(`disorder/${seed}`);
  // The draws are always the same number, so that seeds stay comparable.
  const maybe = (name: string, mostMs?: number): Fault[] => {
    const [strikes, ms] = [dice.random() < 0.5, Math.round(dice.random() * (mostMs ?? 0))];
    if (!strikes) return [];
    return [mostMs === undefined ? { name } : { name, with: { ms } }];
  };
  return [
    ...maybe("acs.delay-event", LATEST_INCOMING_CALL_MS),
    ...maybe("acs.duplicate-event"),
    ...Object.entries(LATEST_MS).flatMap(([type, latestMs]) => [
      ...maybe(`acs.delay-callback.${type}`, latestMs / 2),
      ...maybe(`acs.duplicate-callback.${type}`),
      // Each copy is held back by itself, so the second may come first.
      ...maybe(`acs.reorder-callback.${type}`, latestMs / 2),
    ]),
  ];
}
