/** Matrices, series and prompts of a pass, for reports. Pure. Shape suffixes: L MoE layers, E logical experts. */
import type { Details } from './details.js';
import type { Answer } from './pass.js';
import type { MeasuredPass } from './pass_metrics.js';
import { difference } from './snapshot.js';

/** Of the pass alone. */
export function detailsOf({ answers, steps, before, after, numExperts }: MeasuredPass): Details {
  const { numRanks } = after.stats;
  return {
    expert_load: difference(after.stats.expertLoad, before.stats.expertLoad),
    rank_load: steps.rankLoad_LR.map((load_R) => [...load_R.slice(0, numRanks)]),
    dispatch_bytes: difference(after.stats.dispatchBytes, before.stats.dispatchBytes),
    combine_bytes: difference(after.stats.combineBytes, before.stats.combineBytes),
    wait_ms: difference(after.stats.waitMs, before.stats.waitMs),
    balance_over_time: steps.points.map(({ step, numSteps, meanLoad, maxLoad }) => ({
      ...{ step, num_steps: numSteps, mean_load: meanLoad, max_load: maxLoad },
    })),
    rebalances: steps.rebalances,
    prompts: answers.map((answer) => ({
      ...{ label: answer.prompt.label, text: shortened(answer.prompt.text), output: shortened(answer.text) },
      routed: answer.routed && heatOf(answer.routed, numExperts),
    })),
  };
}

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
