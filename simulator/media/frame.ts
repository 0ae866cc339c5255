/** A frame's length on every wire of the lab (RFC 3551 default packetisation for G.711). */
export const FRAME_MS = 20;

/** 20 ms of mono PCM with its time on the leg's own time line. */
export interface Frame {
  readonly samples: Int16Array;
  readonly rateHz: number;
  /** Lab time at which the frame left the jitter buffer. */
  readonly atMs: number;
  /** True where no packet arrived in time and the samples were made up. */
  readonly concealed?: boolean;
}

/** A piece of mono PCM audio of any length. */
export interface Audio {
  readonly samples: Int16Array;
  readonly rateHz: number;
}
