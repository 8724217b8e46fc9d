/** What `bench scale` prints for people. Pure. */
import { table } from '../../lib/metrics/charts.js';
import type { Machine } from '../base/machine.js';
import type { ChangeRow, ScaleTotals } from './figures.js';
import type { ScaleOptions } from './options.js';

/** Machine, settings, and how to read what follows. */
export function header({ cpu, cores, memory, node }: Machine, options: ScaleOptions): string {
  const { seed, model, sizes, rounds, spares, redundant, streams, requests, gapTokens } = options;
  return [
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}`,
    `${model}: ${sizes.join(' → ')} ranks${rounds === 1 ? '' : `, ${rounds} times`}, ${spares} spare, ${redundant} redundant experts`,
    `${streams} streams over ${requests} requests, half of them sampled, first with ranks that stay; ${gapTokens} tokens before each change`,
    'first step: until the first step of the new size was over; done: until all experts are in their places and who went is gone;',
    'by moving: the most that experts and sequences which moved beside a step made it longer;',
    'stall: the longest time between two tokens of any stream; quiet: steps since the change before',
    '',
  ].join('\n');
}

/** A line per change. */
export function changeTable(rows: readonly ChangeRow[]): string {
  const names = ['ranks', 'first step', 'done', 'longest step', 'by moving', 'quiet median', 'quiet longest', 'stall'];
  const lines = rows.map((row) => [
    ...[
      `${row.from} → ${row.to}`,
      ms(row.first_step_ms),
      ms(row.done_ms),
      ms(row.longest_step_ms),
      ms(row.moving_stall_ms),
    ],
    ...[ms(row.quiet_median_ms), ms(row.quiet_longest_ms), ms(row.stall_ms)],
    ...[String(row.moved_experts), String(row.moved_sequences), String(row.recomputed)],
  ]);
  return table([[...names, 'experts', 'sequences', 'anew'], ...lines]);
}

/** Of all requests. */
export const summary = ({ requests, identical, bit_equal, failed, errors }: ScaleTotals): string =>
  [
    `${requests} requests: ${identical} identical, ${bit_equal} to the bit of each probability, ${failed} failed`,
    ...errors.map((error) => `failed: ${error}`),
  ].join('\n');

const ms = (value: number | null): string => (value === null ? '–' : `${value.toFixed(value < 100 ? 1 : 0)} ms`);
