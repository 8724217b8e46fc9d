/** How many ranks a job may come to have at once: its seats. A rank's number is its seat. Pure. Why: docs/decisions/elastic.md#a-job-has-a-fixed-number-of-seats */
import { MAX_RANKS } from '../../../base/ids.js';
import { ConfigError } from '../../config/errors.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { isLoose } from '../../config/loss_policy.js';

/** What decides it. */
export type SeatsConfig = Pick<ExpertwireConfig, 'parallel' | 'elastic' | 'comm'>;

/**
 * `numRanks`: those that the job begins with.
 * @throws ConfigError INVALID_VALUE where `parallel.max_ranks` has no room for what else was asked for, or nobody could come
 */
export function numSeatsOf({ parallel, elastic, comm }: SeatsConfig, numRanks: number): number {
  const { max_ranks: asked, spare_ranks: numSpares } = parallel;
  const canGrow = isLoose(comm);
  const most = elastic.enabled && elastic.max_ranks !== 'auto' ? elastic.max_ranks : 0;
  const needed = Math.max(numRanks, most) + numSpares;
  const key = 'parallel.max_ranks';
  if (!canGrow && Math.max(needed, asked === 'auto' ? 0 : asked) > numRanks) {
    const why = comm.transport === 'ws' ? '"comm.num_nodes" is over 1' : '"comm.transport" is threads';
    const what = `"${key}" leaves seats for ranks that come later, and ${why}`;
    throw new ConfigError('INVALID_VALUE', `${what}; such a job keeps the ${numRanks} ranks that it begins with`, {
      key,
    });
  }
  if (asked === 'auto') {
    const { on_peer_loss: onPeerLoss } = comm;
    const isMadeGood = canGrow && (onPeerLoss === 'auto' || onPeerLoss === 'recover');
    return Math.min(MAX_RANKS, Math.max(needed, isMadeGood && numRanks > 1 ? 2 * numRanks : 0));
  }
  if (asked >= needed) return asked;
  const text = `"${key}" is ${asked}, and ${needed} are needed: ${numRanks} at the start, "elastic.max_ranks" and "parallel.spare_ranks"`;
  throw new ConfigError('INVALID_VALUE', `${text}; raise it`, { key });
}
