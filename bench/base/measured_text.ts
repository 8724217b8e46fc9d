/** What benchmarks print of their measurements for people. Pure. */
import { table } from '../../lib/metrics/charts.js';
import type { Machine } from './machine.js';
import type { FigureRow, Measured } from './measured.js';

/** Machine and settings. */
export const header = (
  { cpu, cores, memory, node }: Machine,
  { seed, rounds }: { readonly seed: number; readonly rounds: number },
): string => `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}; medians of ${rounds}, in turns\n`;

/** One measurement. */
export function section(name: string, { formula, baseline, aim, rows, answers, changed }: Measured): string {
  const names = Object.keys(rows[0]!);
  const lines = rows.map((row) => names.map((each) => figure(row, each)));
  const same = answers === 0 ? '' : `${answers - changed} of ${answers} answers have the tokens of one instance\n`;
  return `\n${name}\n  ${formula}\n  baseline: ${baseline}\n  aim: ${aim}\n${table([names, ...lines])}\n${same}`;
}

function figure(row: FigureRow, name: string): string {
  const value = row[name]!;
  if (typeof value === 'string') return value;
  if (name.endsWith('ratio')) return `${value.toFixed(2)}x`;
  if (name.endsWith('share')) return `${(100 * value).toFixed(0)} %`;
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 100 ? 2 : 0);
}
