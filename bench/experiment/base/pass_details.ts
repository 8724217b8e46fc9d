/** Matrices, series and prompts of a pass, for reports. Pure. Shape suffixes: L MoE layers, E logical experts. */
import type { Details } from './details.js';
import type { Answer } from './pass.js';
import { difference, type Snapshot } from './snapshot.js';
import type { WatchedSteps } from './watched_steps.js';

/** What any pass has. */
export interface ObservedPass {
  readonly steps: WatchedSteps;
  readonly before: Snapshot;
  readonly after: Snapshot;
}

/** Matrices and series of the pass alone. */
export function matrixDetails({ steps, before, after }: ObservedPass): Details {
  const of = (what: 'expertLoad' | 'dispatchBytes' | 'combineBytes' | 'waitMs'): number[][] =>
    difference(after.stats[what], before.stats[what]);
  return {
    expert_load: of('expertLoad'),
    rank_load: steps.rankLoad_LR.map((load_R) => [...load_R.slice(0, after.stats.numRanks)]),
    dispatch_bytes: of('dispatchBytes'),
    combine_bytes: of('combineBytes'),
    wait_ms: of('waitMs'),
    balance_over_time: steps.points.map(({ step, numSteps, meanLoad, maxLoad }) => ({
      ...{ step, num_steps: numSteps, mean_load: meanLoad, max_load: maxLoad },
    })),
    rebalances: steps.rebalances,
  };
}

/** Each prompt with what came of it. */
export const promptDetails = (answers: readonly Answer[], numExperts: number): Details => ({
  prompts: answers.map(({ prompt, text, routed }) => ({
    ...{ label: prompt.label, text: shortened(prompt.text), output: shortened(text) },
    routed: routed && heatOf(routed, numExperts),
  })),
});

/** What a table has room for. */
const MAX_CHARS = 500;

const shortened = (text: string | null): string | null =>
  text === null || text.length <= MAX_CHARS ? text : `${text.slice(0, MAX_CHARS)} …`;

/** [tokens][L][K] → [L][E]: how often a prompt's tokens chose each expert. */
export function heatOf(routed: NonNullable<Answer['routed']>, numExperts: number): number[][] {
  const numLayers = routed[0]?.length ?? 0;
  const heat_LE = Array.from({ length: numLayers }, () => new Array<number>(numExperts).fill(0));
  for (const layers of routed) {
    for (const [layer, experts] of layers.entries()) for (const expert of experts) heat_LE[layer]![expert]!++;
  }
  return heat_LE;
}
