import { randomUUID } from "node:crypto";
import type { UserAgent } from "sip.js";
import type { Clock, Timer } from "../clock.ts";

/** The registrar said no, or nothing. */
export class RegistrationRefused extends Error {
  override readonly name = "RegistrationRefused";
  readonly code = "REGISTRATION_REFUSED";
  readonly status: number;

  constructor(status: number, reason: string) {
    super(`REGISTER was refused: ${status} ${reason}`);
    this.status = status;
  }
}

export interface Registration extends AsyncDisposable {
  /** Seconds the registrar granted. */
  readonly expiresSeconds: number;
}

export interface RegistrationOptions {
  clock: Clock;
  userAgent: UserAgent;
  expiresSeconds?: number;
  /** A refresh was refused; the binding will run out. */
  onLost: (error: unknown) => void;
}

/** How long the registrar may take to answer the REGISTER that removes the binding. */
const UNREGISTER_TIMEOUT_MS = 1_000;

/**
 * Binds the phone's number to its WebSocket connection (RFC 3261 §10) and refreshes the binding at
 * half its life. sip.js's Registerer does the same on the wall clock, which cannot be sped up.
 */
export async function register(options: RegistrationOptions): Promise<Registration> {
  const { clock, userAgent, expiresSeconds = 600, onLost } = options;
  // RFC 3261 §10.2: one Call-ID for all REGISTERs of a binding, with rising CSeq.
  const binding = { callId: randomUUID(), cseq: 0 };
  let refresh: Timer | undefined;
  let removed = false;

  const bind = async (seconds: number): Promise<number> => {
    binding.cseq += 1;
    const granted = await sendRegister(userAgent, { ...binding, expiresSeconds: seconds });
    if (!removed) refresh = clock.after(granted * 500, () => void bind(seconds).catch(onLost));
    return granted;
  };

  const granted = await bind(expiresSeconds);
  return {
    expiresSeconds: granted,
    async [Symbol.asyncDispose]() {
      if (removed) return;
      removed = true;
      refresh?.cancel();
      const gone = bind(0).catch(() => 0 /* the server may be gone already; so is the binding */);
      const patience = new AbortController();
      const limit = clock.sleep(UNREGISTER_TIMEOUT_MS, { signal: patience.signal }).catch(() => {});
      await Promise.race([gone, limit]);
      patience.abort();
    },
  };
}

interface Binding {
  callId: string;
  cseq: number;
  expiresSeconds: number;
}

/** Resolves with the seconds granted; 0 removes the binding. */
function sendRegister(userAgent: UserAgent, binding: Binding): Promise<number> {
  const { userAgentCore: core, contact } = userAgent;
  const { callId, cseq, expiresSeconds } = binding;
  const { aor } = core.configuration;
  const registrar = aor.clone();
  registrar.user = undefined;
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const request = core.makeOutgoingRequestMessage(
    "REGISTER",
    registrar,
    aor,
    aor,
    { callId, cseq },
    [
      `Contact: <${contact.uri.toString()}>;expires=${expiresSeconds}`,
      `Expires: ${expiresSeconds}`,
    ],
  );
  const refused = ({ message }: { message: { statusCode?: number; reasonPhrase?: string } }) =>
    reject(new RegistrationRefused(message.statusCode ?? 0, message.reasonPhrase ?? ""));
  core.register(request, {
    onAccept: ({ message }) => {
      const granted = Number(message.getHeader("Expires") ?? expiresSeconds);
      resolve(Number.isFinite(granted) ? granted : expiresSeconds);
    },
    onReject: refused,
    onRedirect: refused,
  });
  return promise;
}
