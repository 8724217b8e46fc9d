/** Whether a job stood its faults. Pure. */
import { BenchError } from '../base/errors.js';
import type { FaultRow, Totals } from './figures.js';
import type { ChaosOptions } from './options.js';

/** What is to be reported, the gravest first: an answer that is lost or another one; experts or replicas that never came back. Null: nothing is. */
export function verdict(
  { onPeerLoss, seed }: Pick<ChaosOptions, 'onPeerLoss' | 'seed'>,
  rows: readonly Pick<FaultRow, 'kind' | 'recovered'>[],
  totals: Pick<Totals, 'requests' | 'whole' | 'failed'>,
): BenchError | null {
  const advice = `run --seed ${seed} again and report it`;
  const isMasked = onPeerLoss === 'mask';
  const numLost = isMasked ? totals.failed : totals.requests - totals.whole;
  if (numLost > 0) {
    const text = `${numLost} of ${totals.requests} requests failed or aren't what they would have been`;
    return new BenchError('TOKENS_DIFFER', `${text}; ${advice}`);
  }
  const missing = rows.filter(({ recovered }) => !recovered).map(({ kind }) => kind);
  if (isMasked || missing.length === 0) return null;
  const text = `not everything was there again after ${missing.length} of ${rows.length} faults (${missing.join(', ')})`;
  return new BenchError('NOT_RECOVERED', `${text}; ${advice}`);
}
