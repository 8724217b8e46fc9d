/** What `bench slow` prints for people. Pure. */
import { table } from '../../lib/metrics/charts.js';
import type { Machine } from '../base/machine.js';
import type { Variant, VariantRow } from './figures.js';
import type { SlowOptions } from './options.js';
import type { SlowRun } from './run_slow.js';

const NAMES: Readonly<Record<Variant, string>> = {
  even: 'no rank is slow',
  ignored: 'one is, all get the same',
  shared: 'each gets what it can',
};

/** Machine, settings, and how to read what follows. */
export function header({ cpu, cores, memory, node }: Machine, options: SlowOptions): string {
  const { seed, model, ranks, factor, redundant, streams, promptTokens, newTokens, rounds } = options;
  return [
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}`,
    `${model}: ${ranks} ranks, of which the last takes ${factor} times as long; ${redundant} redundant experts`,
    `${streams} streams of ${promptTokens} + ${newTokens} tokens, ${rounds} rounds; the median step in which all generate`,
    'ideal: what ranks compute, divided to the last bit by what they can; busy: not waiting',
    '',
  ].join('\n');
}

/** A line per way to share work out, and the best there could be. */
export function slowTable({ ideal_ms, rows }: SlowRun): string {
  const names = ['', 'step', '× ideal', "slow rank's rows", 'sequences', 'it is busy', 'others are'];
  const line = ({ variant, step_ms, ratio, ...row }: VariantRow): string[] => [
    ...[NAMES[variant], `${step_ms.toFixed(2)} ms`, variant === 'even' ? '–' : ratio.toFixed(2)],
    ...[row.slow_rows, row.slow_sequences, row.slow_busy, row.others_busy].map(percent),
  ];
  const ideal = ['ideal', `${ideal_ms.toFixed(2)} ms`, '1.00', '', '', '', ''];
  return table([names, ...rows.map(line), ideal]);
}

/** Of all answers with a slow rank. */
export const summary = ({ answers, identical }: SlowRun): string =>
  `${answers} answers with a slow rank: ${identical} have the tokens of ranks that are alike`;

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
