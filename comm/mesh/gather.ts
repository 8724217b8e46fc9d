/** Waiting for one frame from each of several peers as one wait: the first failure ends it for all. */
import { setMaxListeners } from 'node:events';
import { CommError } from '../base/errors.js';
import type { FrameKey } from './frame.js';
import { asRank, type Rank } from '../../base/ids.js';
import type { Frame, Mesh, Wait } from './mesh.js';

/** Every rank of the mesh but the own one, ascending. */
export function peersOf(mesh: Mesh): Rank[] {
  const ranks = Array.from({ length: mesh.size }, (_, rank) => asRank(rank));
  return ranks.filter((rank) => rank !== mesh.rank);
}

/** What a caller may watch. */
export interface GatherEvents {
  /** A peer's frame is here, `waitMs` after the wait began. */
  readonly onFrame?: (peer: Rank, waitMs: number) => void;
  /** A peer's frame won't come; true: go on without it. Default: every failure ends the wait. */
  readonly onFailure?: (peer: Rank, error: unknown) => boolean;
  /**
   * How much longer than the timeout to wait while several peers are silent: one may be lost, and the others wait for it as this rank does. Once a
   * single one is left it is the one, unless another was given up already. Default 0.
   */
  readonly graceMs?: number;
}

/**
 * The frames with this key from `peers`, in their order. All are awaited from the same moment, so one timeout covers
 * them; when one fails, the others stop waiting and the first error is thrown.
 */
export async function gather(
  mesh: Mesh,
  peers: readonly Rank[],
  key: FrameKey,
  wait: Wait,
  events: GatherEvents = {},
): Promise<Frame[]> {
  if (peers.length === 0) return [];
  const others = new AbortController();
  const abort = (): void => others.abort(wait.signal?.reason);
  if (wait.signal?.aborted === true) abort();
  wait.signal?.addEventListener('abort', abort);
  const { signal } = others;
  // One listener per peer; more than ten would make Node warn of a leak.
  setMaxListeners(peers.length, signal);
  const startMs = performance.now();
  const silent = new Set(peers);
  let hasGivenUp = false;
  /** The silent peer that the others waited for, as far as anybody can tell. */
  const isAlone = (): boolean => silent.size === 1 && !hasGivenUp;
  /** Ends its grace. */
  let alone: AbortController | undefined;
  const frameOf = async (peer: Rank): Promise<Frame> => {
    try {
      return await mesh.receive(peer, key, { timeoutMs: wait.timeoutMs, signal });
    } catch (error) {
      const { graceMs = 0 } = events;
      if (graceMs === 0 || isAlone() || !isTimeout(error)) throw error;
      alone ??= new AbortController();
      setMaxListeners(peers.length, alone.signal);
      const either = AbortSignal.any([signal, alone.signal]);
      return mesh.receive(peer, key, { timeoutMs: graceMs, signal: either }).catch((later: unknown) => {
        throw isTimeout(later) || alone?.signal.aborted === true ? error : later;
      });
    }
  };
  const receive = async (peer: Rank): Promise<Frame | undefined> => {
    try {
      const frame = await frameOf(peer);
      silent.delete(peer);
      if (isAlone()) alone?.abort();
      events.onFrame?.(peer, performance.now() - startMs);
      return frame;
    } catch (error) {
      if (events.onFailure?.(peer, error) !== true) throw error;
      silent.delete(peer);
      hasGivenUp = true;
      return undefined;
    }
  };
  try {
    const frames = await Promise.all(peers.map(receive));
    return frames.filter((frame) => frame !== undefined);
  } catch (error) {
    others.abort(new CommError('ABORTED', `another peer failed during ${key.phase}; see its error`));
    throw namingAll(error, [...silent]);
  } finally {
    wait.signal?.removeEventListener('abort', abort);
  }
}

const isTimeout = (error: unknown): boolean => error instanceof CommError && error.code === 'TIMEOUT';

/** A timeout that several peers caused names all of them. */
function namingAll(error: unknown, silent: readonly Rank[]): unknown {
  if (!(error instanceof CommError) || error.code !== 'TIMEOUT' || silent.length < 2) return error;
  const others = silent.filter((rank) => rank !== error.rank).join(', ');
  const { rank, layer, phase, waitedMs } = error;
  const message = `${error.text}; silent too: rank ${others}`;
  return new CommError('TIMEOUT', message, { rank, layer, phase, waitedMs, cause: error });
}

/** When the last of the frames came, not before `sentMs`: a faster peer's may have been here then. */
export function lastArrival(frames: readonly Frame[], sentMs: number): number {
  return frames.reduce((last, { arrivedMs }) => Math.max(last, arrivedMs), sentMs);
}
