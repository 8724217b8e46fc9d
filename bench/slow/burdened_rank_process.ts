/** A rank that is slower than its machine, in a process of its own. Ends with its job, or with who started it. */
import type { OnLap } from '../../compute/base/stopwatch.js';
import { runRank } from '../../lib/rank/rank_main.js';
import { ANY_PLACE, kernelsFor } from '../../lib/rank/rank_place.js';
import type { BurdenOrder } from './burdened_rank.js';
import { BurdenedStopwatch, type Burden } from './burdened_stopwatch.js';

const JOIN_TIMEOUT_MS = 60_000;

const burden: Burden = { factor: 1 };
const gone = new AbortController();

process.on('disconnect', () => gone.abort());
process.on('message', (order: BurdenOrder) => {
  if (order.kind === 'burden') burden.factor = order.factor;
  else void join(order); // where that fails, the process ends with why
});

async function join({ head, secret, ranksHere }: Extract<BurdenOrder, { kind: 'join' }>): Promise<void> {
  const place = { ...ANY_PLACE, ranksHere, kernels: await kernelsFor(undefined) };
  const stopwatch = (onLap: OnLap | undefined) => new BurdenedStopwatch(burden, onLap);
  const { signal } = gone;
  const outcome = await runRank({ head, secret, place, stopwatch, joinTimeoutMs: JOIN_TIMEOUT_MS, signal });
  if (outcome.kind === 'failed' && !signal.aborted) throw outcome.error;
  if (process.connected) process.disconnect();
}
