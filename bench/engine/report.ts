/** What `bench engine` prints for people. Pure. */
import { table } from '../../lib/metrics/charts.js';
import type { Machine } from '../base/machine.js';
import type { FigureRow, Measured } from './measurement.js';
import type { EngineBenchOptions } from './options.js';

/** Machine, settings, and how to read what follows. */
export function header({ cpu, cores, memory, node }: Machine, options: EngineBenchOptions): string {
  const { seed, ranks, rounds, model, size } = options;
  const trial = size === 1 ? '' : `; SIZE ${size}: a trial, not the usual load`;
  return `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}; ${model}, ranks ${ranks}, rounds ${rounds}${trial}\n`;
}

/** One measurement. */
export function section(name: string, { formula, baseline, rows }: Measured): string {
  const names = Object.keys(rows[0]!);
  const lines = rows.map((row) => names.map((each) => figure(row, each)));
  return `\n${name}\n  ${formula}\n  baseline: ${baseline}\n${table([names, ...lines])}\n`;
}

function figure(row: FigureRow, name: string): string {
  const value = row[name]!;
  if (name.endsWith('ratio')) return `${value.toFixed(2)}x`;
  if (name === 'share' || name.endsWith('waste')) return `${(100 * value).toFixed(2)} %`;
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 100 ? 2 : 0);
}
