/** How many ranks a job may come to have at once: its seats. A rank's number is its seat. Pure. Why: docs/decisions/elastic.md#a-job-has-a-fixed-number-of-seats */
import { MAX_RANKS } from '../../../base/ids.js';
import { ConfigError } from '../../config/errors.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { isLoose } from '../../config/loss_policy.js';

/** Seats beside those of the ranks that a job begins with: each costs every step a little, in plans and tables. */
const MOST_EMPTY = 1024;
/** Slots of all seats in all layers: ranks are told which experts they hold in one message. */
const MOST_SLOTS = 2 ** 23;

/** What decides it. */
type SeatsConfig = Pick<ExpertwireConfig, 'parallel' | 'elastic' | 'comm'>;

/**
 * `numRanks`: those that the job begins with.
 * @throws ConfigError INVALID_VALUE where `parallel.max_ranks` has no room for what else was asked for, is far more than that, or nobody could come
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
  if (asked !== 'auto' && asked < needed) {
    const text = `"${key}" is ${asked}, and ${needed} are needed: ${numRanks} at the start, "elastic.max_ranks" and "parallel.spare_ranks"`;
    throw new ConfigError('INVALID_VALUE', `${text}; raise it`, { key });
  }
  const { on_peer_loss: onPeerLoss } = comm;
  const isMadeGood = canGrow && (onPeerLoss === 'auto' || onPeerLoss === 'recover');
  const mostSeats = Math.min(MAX_RANKS, numRanks + MOST_EMPTY);
  const twice = isMadeGood && numRanks > 1 ? Math.min(2 * numRanks, mostSeats) : 0;
  const seats = asked === 'auto' ? Math.max(needed, twice) : asked;
  if (seats <= mostSeats) return seats;
  const what = `${seats} seats ("${key}", "elastic.max_ranks", "parallel.spare_ranks") for ${numRanks} ranks: each empty one costs every step some time`;
  throw new ConfigError('INVALID_VALUE', `${what}; ask for ${mostSeats} at most`, { key });
}

/**
 * `slotsPerSeat`: of all MoE layers.
 * @throws ConfigError INVALID_VALUE where so many seats have more slots than ranks can be told of
 */
export function checkSlots(numSeats: number, numRanks: number, slotsPerSeat: number): void {
  const numSlots = numSeats * slotsPerSeat;
  if (numSeats === numRanks || numSlots <= MOST_SLOTS) return;
  const key = 'parallel.max_ranks';
  const mostSeats = Math.max(numRanks, Math.floor(MOST_SLOTS / slotsPerSeat));
  const what = `${numSeats} seats ("${key}") of ${slotsPerSeat} experts each are ${numSlots}, more than ${MOST_SLOTS}`;
  throw new ConfigError('INVALID_VALUE', `${what}; set it to ${mostSeats} at most`, { key });
}
