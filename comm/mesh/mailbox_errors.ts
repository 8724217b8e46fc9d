/** What a caller who waits for a frame is told: always which rank, layer and phase, and what to do. */
import { CommError, type CommErrorCode } from '../base/errors.js';
import type { FrameKey } from './frame.js';
import type { Rank } from '../../base/ids.js';

/** Why no more frames come from a rank. */
export interface Loss {
  readonly code: CommErrorCode;
  readonly why: string;
}

/** A frame's key in words. */
export const nameOf = ({ phase, step, layer, microBatch, epoch }: FrameKey): string =>
  `${phase} of layer ${layer} (step ${step}, micro-batch ${microBatch}, epoch ${epoch})`;

const whereOf = (rank: Rank, { phase, layer }: FrameKey): { rank: Rank; phase: string; layer: number } => ({
  rank,
  phase,
  layer,
});

/** For who waits for a rank that is gone; the code is the loss's. */
export function lostError(rank: Rank, key: FrameKey, { code, why }: Loss): CommError {
  const message = `rank ${rank} was lost during ${nameOf(key)}: ${why}; look at the log of rank ${rank}`;
  return new CommError(code, message, { ...whereOf(rank, key), isItsDoing: true });
}

/** TIMEOUT, for who waited in vain. */
export function timeoutError(rank: Rank, key: FrameKey, waitedMs: number): CommError {
  const message =
    `rank ${rank} sent nothing for ${nameOf(key)} in ${waitedMs} ms; ` +
    `raise timeoutMs (comm.timeout_ms of a job) or look at the log of rank ${rank}`;
  return new CommError('TIMEOUT', message, { ...whereOf(rank, key), waitedMs });
}

/** ABORTED, for who gave the wait up; the cause is the signal's reason. */
export function abortedError(rank: Rank, key: FrameKey, signal: AbortSignal | undefined): CommError {
  const message = `the caller ended ${nameOf(key)} while rank ${rank} was awaited; run the step again in a new epoch`;
  return new CommError('ABORTED', message, { ...whereOf(rank, key), cause: signal?.reason });
}

/** ABORTED, for who waits for a rank that is masked. */
export function mutedError(rank: Rank, key: FrameKey): CommError {
  const message = `rank ${rank} is masked, and with it its part of ${nameOf(key)}; clear the mask to hear it again`;
  return new CommError('ABORTED', message, whereOf(rank, key));
}

/** ABORTED, for who waits for a frame of an epoch before `epoch`. It names no rank: none is to blame. */
export function oldEpochError(key: FrameKey, epoch: number): CommError {
  const { phase, layer } = key;
  const message = `${nameOf(key)} belongs to an epoch before ${epoch}; run the step again with epoch ${epoch}`;
  return new CommError('ABORTED', message, { phase, layer });
}

/** CLOSED, for who waits in a mesh that its owner closed. It names no rank: none is to blame. */
export function closedError(key: FrameKey): CommError {
  const { phase, layer } = key;
  return new CommError('CLOSED', `the mesh was closed during ${nameOf(key)}; open a new one`, { phase, layer });
}
