/** What axes and metrics are called in tables. Pure. */
import type { Axis } from '../base/experiment.js';
import type { Json } from '../base/run.js';

/** Characters of a value in a table. */
const MAX_VALUE_CHARS = 40;

/** 'parallel.ranks' → 'ranks', where no other axis ends so. */
export function axisTitle(key: string, axes: readonly Axis[]): string {
  const lastOf = (each: string): string => each.slice(each.lastIndexOf('.') + 1);
  const isAlone = axes.every((axis) => axis.key === key || lastOf(axis.key) !== lastOf(key));
  return (isAlone ? lastOf(key) : key).replaceAll('_', ' ');
}

/** Without the unit that has a place of its own: 'ttft_p50_ms' in 'ms' → 'ttft p50'. A name that is nothing but its unit stays. */
export function metricTitle(name: string, unit: string): string {
  const words = name.replaceAll('_', ' ');
  const spoken = unit.replace('/', ' per ').replace(/^B\b/, 'bytes').replace('·', ' ');
  return words.endsWith(` ${spoken}`) && spoken !== '' ? words.slice(0, -spoken.length - 1) : words;
}

/** Texts as they are, files by their last name, the rest as JSON; '–' for none. */
export function valueTitle(value: Json | undefined): string {
  if (value === undefined) return '–';
  const text = typeof value === 'string' ? value.slice(value.lastIndexOf('/') + 1) || value : JSON.stringify(value);
  return text.length <= MAX_VALUE_CHARS ? text : `${text.slice(0, MAX_VALUE_CHARS - 1)}…`;
}
