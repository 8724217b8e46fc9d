/** What `generate --plot` draws. Shape suffixes: L MoE layers, R ranks. */
import { expertCountsOf } from '../../model/spec/spec.js';
import { balancednessOfSums, balanceSums } from '../../../experts/placement/balance.js';
import type { Engine } from '../../head/engine.js';
import { isThere } from '../../head/observing/rank_states.js';
import { modelNameOf } from '../../hub/cache/model_name.js';
import type { BalancePictures } from '../../pictures/balance/balance_plots.js';
import type { PairTable } from '../../pictures/balance/pair_maps.js';
import type { TextHeat } from '../../pictures/balance/text_maps.js';
import { choicesOf, type Completion } from './completion.js';

/** A rank that isn't there isn't drawn: others carry its load. */
export function picturesOf(engine: Engine, model: string, completions: readonly Completion[]): BalancePictures {
  const stats = engine.stats();
  const { expertLoad: load_LE, rankLoad, balanceOverTime, rankStates, numRanks, backend, numSteps } = stats;
  const load_LR = rankLoad.map((load_R) => load_R.filter((_, rank) => isThere(rankStates[rank])));
  const ranks = [{ name: '', load_LR, balancedness: balancednessOfSums(balanceSums(load_LR)) }];
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
  return {
    title: `${modelNameOf(model)}: ${count(numSteps, 'step')} on ${count(numRanks, 'rank')}, ${backend}`,
    ...{ load_LE, ranks, balanceOverTime: numRanks === 1 ? [] : balanceOverTime },
    rebalances: stats.rebalancing?.rebalancedAt ?? [],
    pairs: numRanks === 1 ? [] : pairsOf(stats),
    texts: textsOf(engine, completions),
  };
}

const pairsOf = ({ dispatchBytes, combineBytes, waitMs }: ReturnType<Engine['stats']>): PairTable[] => [
  bytesTable('Dispatched', 'Rows to the ranks of their experts, whole run.', dispatchBytes),
  bytesTable('Combined', 'Sums back, whole run.', combineBytes),
  { title: 'Waited', unit: 'ms', caption: 'The receiver for rows of the sender, whole run.', values: waitMs },
];

function bytesTable(title: string, caption: string, values: readonly (readonly number[])[]): PairTable {
  const highest = Math.max(...values.flat());
  const [unit, size] = highest < 2 ** 20 ? (['KiB', 2 ** 10] as const) : (['MiB', 2 ** 20] as const);
  return { title, unit, caption, values: values.map((row) => row.map((bytes) => bytes / size)) };
}

/** Of prompts with a label whose experts were told; those of one label together. */
function textsOf(engine: Engine, completions: readonly Completion[]): TextHeat[] {
  const labels = new Map<string, Float64Array[]>();
  for (const { prompt, routedExperts } of completions) {
    if (prompt.label === null || routedExperts === null) continue;
    const added = choicesOf(routedExperts, expertCountsOf(engine.spec));
    const sums = labels.get(prompt.label);
    labels.set(prompt.label, sums?.map((sum_E, layer) => sum_E.map((sum, e) => sum + added[layer]![e]!)) ?? added);
  }
  return [...labels].map(([label, load_LE]) => ({ label, load_LE }));
}
