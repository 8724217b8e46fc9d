/** Waiting for one frame from each of several peers as one wait: the first failure ends it for all. */
import { CommError } from './errors.js';
import type { FrameKey } from './frame.js';
import { asRank, type Rank } from './ids.js';
import type { Frame, Mesh, Wait } from './mesh.js';

/** Every rank of the mesh but the own one, ascending. */
export function peersOf(mesh: Mesh): Rank[] {
  const ranks = Array.from({ length: mesh.size }, (_, rank) => asRank(rank));
  return ranks.filter((rank) => rank !== mesh.rank);
}

/**
 * The frames with this key from `peers`, in their order. All are awaited from the same moment, so one timeout covers
 * them; when one fails, the others stop waiting and the first error is thrown.
 */
export async function gather(mesh: Mesh, peers: readonly Rank[], key: FrameKey, wait: Wait): Promise<Frame[]> {
  if (peers.length === 0) return [];
  const others = new AbortController();
  const abort = (): void => others.abort(wait.signal?.reason);
  if (wait.signal?.aborted === true) abort();
  wait.signal?.addEventListener('abort', abort);
  const { signal } = others;
  try {
    return await Promise.all(peers.map((peer) => mesh.receive(peer, key, { timeoutMs: wait.timeoutMs, signal })));
  } catch (error) {
    others.abort(new CommError('ABORTED', `another peer failed during ${key.phase}; see its error`));
    throw error;
  } finally {
    wait.signal?.removeEventListener('abort', abort);
  }
}
