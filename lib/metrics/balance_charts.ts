/** The pictures of lib/pictures/balance in characters, for terminals. Pure. Shape suffixes: L MoE layers, C columns: experts or ranks. */
import { balancednessOfSums } from '../../experts/placement/balance.js';
import type { BalancePoint } from './balance_series.js';
import { sparkline, table } from './charts.js';

/** One row per layer, one character per column, ▁ no load to █ the layer's highest; behind it the highest as a multiple of the mean. */
export function heatRows(load_LC: readonly ArrayLike<number>[]): string {
  return table(
    load_LC.map((load_C, layer) => [`layer ${layer}`, sparkline(load_C), `max ${skewOf(load_C).toFixed(2)} × mean`]),
  );
}

/** max / mean; 1 without any load. */
function skewOf(load_C: ArrayLike<number>): number {
  const loads = Array.from(load_C);
  const sum = loads.reduce((a, b) => a + b, 0);
  return sum === 0 ? 1 : (Math.max(...loads) * loads.length) / sum;
}

/**
 * Balancedness from left to right in at most `width` characters, ▁ 0 to █ 1, with its first and last step; a second line marks rebalances (steps before
 * which another placement took effect) with ^, where there are any. Empty without points.
 */
export function balanceLine(points: readonly BalancePoint[], rebalances: readonly number[], width: number): string {
  if (points.length === 0) return '';
  const perColumn = Math.ceil(points.length / width);
  const columns = Array.from({ length: Math.ceil(points.length / perColumn) }, (_, column) => {
    const own = points.slice(column * perColumn, (column + 1) * perColumn);
    const sum = (key: 'meanLoad' | 'maxLoad'): number => own.reduce((total, point) => total + point[key], 0);
    return {
      step: own[0]!.step,
      balancedness: balancednessOfSums({ meanLoad: sum('meanLoad'), maxLoad: sum('maxLoad') }),
    };
  });
  const last = points.at(-1)!;
  const head = `steps ${points[0]!.step}…${last.step + last.numSteps - 1}  `;
  const line = sparkline(
    columns.map(({ balancedness }) => balancedness),
    1,
  );
  if (rebalances.length === 0) return head + line;
  const columnOf = (step: number): number =>
    Math.max(
      0,
      columns.findLastIndex((column) => column.step <= step),
    );
  const marked = new Set(rebalances.map(columnOf));
  const marks = columns.map((_, column) => (marked.has(column) ? '^' : ' ')).join('');
  return `${head}${line}\n${' '.repeat(head.length)}${marks.trimEnd()}`;
}
