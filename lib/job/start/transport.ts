/** Which ways for frames go together with which jobs. */
import { ConfigError } from '../../config/errors.js';
import type { ExpertwireConfig } from '../../config/schema.js';

/** Throws ConfigError INVALID_VALUE where the nodes can't share the ranks, or `comm.transport: threads` can't reach every rank, can't lose one alone, or has no sockets to move. */
export function checkTransport(
  { transport, io_thread: ioThread, on_peer_loss: onPeerLoss, num_nodes: numNodes }: ExpertwireConfig['comm'],
  numLocalRanks: number,
  numExternalRanks: number,
  headGraceMs = 0,
): void {
  checkNodes(numNodes, numLocalRanks + numExternalRanks, onPeerLoss);
  if (transport !== 'threads') return;
  const key = 'comm.transport';
  if (numExternalRanks > 0) {
    const what = `"${key}" is threads, but ${numExternalRanks} ${numExternalRanks === 1 ? 'rank joins' : 'ranks join'} from elsewhere`;
    throw new ConfigError('INVALID_VALUE', `${what}, which share no memory with this process; set it to ws`, { key });
  }
  if (headGraceMs > 0) {
    const what = `"${key}" is threads, which end together, but "parallel.head_grace_ms" has ranks outlive their head`;
    throw new ConfigError('INVALID_VALUE', `${what}; set "${key}" to ws or "parallel.head_grace_ms" to 0`, { key });
  }
  if (onPeerLoss === 'mask' || onPeerLoss === 'recover') {
    const what = `"${key}" is threads, which end together with their process, but "comm.on_peer_loss" is ${onPeerLoss}`;
    throw new ConfigError('INVALID_VALUE', `${what}; set "${key}" to ws or "comm.on_peer_loss" to fail`, { key });
  }
  if (ioThread) {
    const what = `"${key}" is threads, which have no sockets, but "comm.io_thread" is true`;
    throw new ConfigError('INVALID_VALUE', `${what}; set one of them to its default`, { key });
  }
}

/** What the smallest rank takes of its machine: a process of its own, or a thread. */
const RANK_BYTES = { ws: 64 * 2 ** 20, threads: 16 * 2 ** 20 } as const;

/** Throws ConfigError INVALID_VALUE where so many ranks can't even start on a machine with so much memory. */
export function checkRanksHere(
  { transport }: Pick<ExpertwireConfig['comm'], 'transport'>,
  numLocalRanks: number,
  totalBytes: number,
): void {
  const most = Math.floor(totalBytes / RANK_BYTES[transport]);
  if (numLocalRanks <= most) return;
  const key = 'parallel.ranks';
  const what = `"${key}" is ${numLocalRanks}, and this machine's memory holds ${most} ${transport === 'ws' ? 'rank processes' : 'ranks'} at most`;
  throw new ConfigError('INVALID_VALUE', `${what}, of the smallest model; lower it`, { key });
}

/** Throws ConfigError INVALID_VALUE where the ranks can't be spread evenly over the nodes. */
function checkNodes(numNodes: number, numRanks: number, onPeerLoss: ExpertwireConfig['comm']['on_peer_loss']): void {
  const key = 'comm.num_nodes';
  if (numRanks % numNodes !== 0) {
    const what = `"${key}" is ${numNodes}, but the job has ${numRanks} ranks`;
    throw new ConfigError('INVALID_VALUE', `${what}; every node has the same number of them`, { key });
  }
  if (numNodes > 1 && (onPeerLoss === 'mask' || onPeerLoss === 'recover')) {
    const what = `"${key}" is ${numNodes}, where ranks forward for others, but "comm.on_peer_loss" is ${onPeerLoss}`;
    throw new ConfigError('INVALID_VALUE', `${what}; set one of them to its default`, { key });
  }
}
