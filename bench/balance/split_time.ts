/** How long a rank takes to choose replicas for one batch of one layer. */
import { createPlanner } from '../../experts/placement/planners/index.js';
import type { Placement } from '../../experts/placement/placement.js';
import { randomFrom } from '../../experts/routing/random.js';
import { createReplicaChooser, REPLICA_CHOICES, type ReplicaChoice } from '../../experts/placement/replica_choice.js';
import { syntheticLoads } from '../../experts/routing/synthetic_load.js';
import { median, quantile } from '../base/machine.js';

/** Time of one choice for a batch of so many tokens, in microseconds. */
export interface SplitRow {
  readonly choice: ReplicaChoice;
  readonly tokens: number;
  readonly median_us: number;
  readonly p99_us: number;
}

/** DeepSeek's shape: 256 experts, 8 per token, 32 redundant ones on 32 ranks. */
export const SPLIT_SHAPE = { experts: 256, slots: 288, ranks: 32, topk: 8 } as const;
const BATCHES = [1, 32, 512];
const NUM_WARM_UPS = 200;
const NUM_RUNS = 400;

/** Zipf 1.0; of `allgather`, without the messages. */
export async function splitTimes(seed: number): Promise<SplitRow[]> {
  const { experts: numExperts, slots: numSlots, ranks: numRanks } = SPLIT_SHAPE;
  const load_LE = syntheticLoads({ kind: 'zipf', alpha: 1 }, { numLayers: 1, numExperts, seed }).next().value;
  const { placement } = createPlanner('eplb').plan(load_LE, { numRanks, numSlots }, null);
  const rows: SplitRow[] = [];
  for (const choice of REPLICA_CHOICES) {
    for (const tokens of BATCHES) rows.push(await timeOf(choice, tokens, load_LE[0]!, placement, seed));
  }
  return rows;
}

async function timeOf(
  choice: ReplicaChoice,
  tokens: number,
  load_E: ArrayLike<number>,
  placement: Placement,
  seed: number,
): Promise<SplitRow> {
  const random = randomFrom(seed);
  const batches = Array.from({ length: 16 }, () => batchOf(tokens, load_E, random));
  // What the others would have sent: as much as this rank.
  const gather = (counts_E: Int32Array): Promise<readonly Int32Array[]> =>
    Promise.resolve(Array.from({ length: placement.numRanks }, () => counts_E));
  const chooser = createReplicaChooser(choice, { rank: 1, ranksPerNode: 8 }, gather);
  const spentUs: number[] = [];
  for (let i = 0; i < NUM_WARM_UPS + NUM_RUNS; i++) {
    const startMs = performance.now();
    await chooser.choose(batches[i % batches.length]!, placement, 0);
    if (i >= NUM_WARM_UPS) spentUs.push(1000 * (performance.now() - startMs));
  }
  return { choice, tokens, median_us: median(spentUs), p99_us: quantile(spentUs, 0.99) };
}

/** [T·K] different experts for each token, drawn by load. */
function batchOf(tokens: number, load_E: ArrayLike<number>, random: () => number): Int32Array {
  const total = Array.from(load_E).reduce((a, b) => a + b, 0);
  const draw = (): number => {
    let left = random() * total;
    for (let e = 0; e < load_E.length; e++) if ((left -= load_E[e]!) < 0) return e;
    return load_E.length - 1;
  };
  return Int32Array.from(
    Array.from({ length: tokens }, () => {
      const chosen = new Set<number>();
      while (chosen.size < SPLIT_SHAPE.topk) chosen.add(draw());
      return [...chosen];
    }).flat(),
  );
}
