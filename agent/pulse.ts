import type { WebSocket } from "ws";

export interface PulseOptions {
  /** A socket this long without a sign of life is pinged, and after as long again it is gone. */
  readonly intervalMs: number;
  readonly onGone: () => void;
}

/**
 * Tells a socket that is silent from one whose other end is gone without a word, which TCP notices
 * only after minutes. It counts ticks and no time: after a stall of this process what has arrived
 * meanwhile is read before the next one. Returns how to stop it.
 */
export function watchPulse(socket: WebSocket, { intervalMs, onGone }: PulseOptions): () => void {
  let quietTicks = 0;
  const alive = () => {
    quietTicks = 0;
  };
  const tick = () => {
    quietTicks += 1;
    if (quietTicks === 2) socket.ping();
    if (quietTicks > 2) onGone();
  };
  const timer = setInterval(tick, intervalMs);
  const stop = () => {
    clearInterval(timer);
    socket.off("message", alive).off("pong", alive).off("close", stop);
  };
  socket.on("message", alive).on("pong", alive).on("close", stop);
  return stop;
}
