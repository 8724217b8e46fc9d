/** What fields of a sweep are called in pictures. Pure. */
import type { Axis } from '../../experiment/base/experiment.js';
import type { MetricInfo } from '../../experiment/base/metric.js';
import type { Json } from '../../experiment/base/run.js';

/** What is said letter by letter. */
const ABBREVIATIONS = /\b(ttft|tpot|itl|e2el|kl|rss|kv)\b/g;

const words = (name: string): string =>
  name.replaceAll('_', ' ').replaceAll(ABBREVIATIONS, (letters) => letters.toUpperCase());

/** 'parallel.ranks' → 'ranks', where no other axis ends so; 'link.delay_ms' → 'delay (ms)'. */
export function axisLabel(key: string, axes: readonly Axis[]): string {
  const lastOf = (each: string): string => each.split('.').at(-1)!;
  const isAlone = axes.every((axis) => axis.key === key || lastOf(axis.key) !== lastOf(key));
  return words(isAlone ? lastOf(key) : key).replace(/ (ms|s|bytes)$/, ' ($1)');
}

/** Without the unit where the name ends with it: 'ttft_p50_ms' → 'TTFT p50 (ms)', 'tokens_per_s' → 'tokens/s'. */
export function metricLabel(name: string, { unit }: Pick<MetricInfo, 'unit'>): string {
  const said = words(name);
  if (unit === '') return said;
  const spoken = unit.replace('/', ' per ').replace(/^B\b/, 'bytes');
  if (said === spoken && unit.includes('/')) return unit;
  return `${said.endsWith(` ${spoken}`) ? said.slice(0, -spoken.length - 1) : said} (${unit})`;
}

/** A value as an axis says it: texts as they are, the rest as JSON. */
export const valueText = (value: Json | undefined): string =>
  typeof value === 'string' ? value : value === undefined ? '–' : JSON.stringify(value);
