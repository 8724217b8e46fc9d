/** What a run leaves for reports beside its metrics, by name. Shape suffixes: L MoE layers, E logical experts, R ranks. */
import type { Json } from '../../../lib/experiment/base/run.js';

/** Keys of `RunResult.details`, with what each holds; a measure gives those that it has. */
export const DETAILS = {
  expert_load: '[L][E] choices of each expert in the measured pass',
  rank_load: '[L][R] choices that each rank computed',
  dispatch_bytes: '[from][to] bytes of rows to the ranks of their experts',
  combine_bytes: '[from][to] bytes of sums back',
  wait_ms: '[from][to] milliseconds that `to` waited for rows of `from`',
  balance_over_time:
    '[{ step, num_steps, mean_load, max_load }] sums over steps and MoE layers, steps counted from the beginning of the measured pass',
  rebalances: '[step] first steps that ran with a new placement',
  prompts:
    '[{ label, text, output, routed }] each prompt with its output and routed[L][E], the choices of its tokens; null: not told',
  requests: '[{ … }] each request of a serving run with its times',
  texts: '[{ label, tokens, perplexity, … }] each text of a score',
  windows: '[{ … }] each window of a simulation',
} as const satisfies Readonly<Record<string, string>>;

/** Details of a run. */
export type Details = { readonly [K in keyof typeof DETAILS]?: Json };
