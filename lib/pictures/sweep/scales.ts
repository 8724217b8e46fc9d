/** Axes, colours and legends of pictures of sweeps. Pure. */
import type { PlotSettings } from '../../experiment/base/experiment.js';
import type { PlotSpec } from '../spec.js';
import { textWidth } from '../text_width.js';
import { CATEGORIES, DASHES, SEQUENTIAL, SHAPES } from '../theme.js';
import { valueText } from './labels.js';
import type { Field } from './fields.js';

/** A scale that shows each of `values`: a logarithm has no place for 0, so that 0 and below bend it straight. */
export function scaleOf(
  type: 'linear' | 'log',
  values: readonly number[],
): {
  readonly type?: string;
  readonly constant?: number;
  readonly zero?: boolean;
  readonly nice?: boolean;
  readonly padding?: number;
} {
  if (type === 'linear') return { zero: false };
  const positive = values.filter((value) => value > 0);
  if (positive.length === values.length) return { type: 'log', nice: false, padding: 8 };
  return { type: 'symlog', constant: positive.length === 0 ? 1 : Math.min(...positive) };
}

/** SI prefixes where numbers get long; on a logarithmic scale ticks at powers of ten, 3s, or finer. */
export function ticksOf(type: 'linear' | 'log', values: readonly number[]): PlotSpec {
  const [lowest, highest] = [Math.min(...values), Math.max(...values)];
  const format = highest >= 100_000 || (type === 'log' && highest >= 10_000) ? { format: '~s' } : { format: ',~f' };
  if (type === 'linear' || lowest <= 0) return highest >= 100_000 ? format : {};
  const finer = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]].map((digits) => decimals(digits, lowest, highest));
  return { ...format, values: finer.find((ticks) => ticks.length > 3) ?? finer.at(-1) };
}

const decimals = (digits: readonly number[], lowest: number, highest: number): number[] =>
  Array.from({ length: 41 }, (_, i) => i - 20)
    .flatMap((power) => digits.map((digit) => Number(`${digit}e${power}`)))
    .filter((tick) => tick >= lowest && tick <= highest);

/** Where a scale isn't logarithmic. */
export const bendText = ({ constant }: { readonly constant?: number }): string =>
  constant === undefined ? '' : `, linear below ${constant}`;

/** Along the bottom; ticks where the values are, if they are few. `values`: those drawn; `width`: of the picture, for labels that lie or lean. */
export function xChannel(
  field: Field,
  scale: PlotSettings['scale'],
  { values, isDrawnToScale, width }: { values: readonly number[]; isDrawnToScale: boolean; width: number },
): PlotSpec {
  const base = { field: 'x', title: field.title };
  if (isDrawnToScale) {
    const ticks = field.isMetric || field.values.length > 10 ? {} : { values: field.values };
    const axis = { format: ',~f', ...ticksOf(scale.x, values), ...ticks, grid: field.isMetric, labelFlush: false };
    const drawn = { ...scaleOf(scale.x, values), padding: 10, nice: false };
    return { ...base, type: 'quantitative', title: field.title + bendText(drawn), scale: drawn, axis };
  }
  const labels = field.values.map(valueText);
  const widest = Math.max(...labels.map((label) => textWidth(label, 10)));
  const leans = (widest + 6) * labels.length > width - 50;
  return { ...base, type: 'ordinal', sort: field.values, axis: { labelAngle: leans ? -35 : 0, labelOverlap: false } };
}

/** A colour for each value, light to dark where numbers are more than colours. */
export function colorChannel(field: Field, width: number): PlotSpec {
  const legend = legendOf(field, width);
  if (field.isMetric) return { field: 'color', type: 'quantitative', title: field.title, scale: SEQUENTIAL, legend };
  const domain = field.values;
  const scale =
    domain.length <= CATEGORIES.length
      ? { domain, range: CATEGORIES.slice(0, domain.length) }
      : field.isNumeric
        ? { domain, scheme: 'viridis' }
        : { domain, scheme: 'tableau20' };
  return { field: 'color', type: 'ordinal', title: field.title, scale, legend };
}

/** Beside colour, for print in grey: the dash of a line. */
export const dashOf = (field: Field | null, value: number | string | null): readonly number[] =>
  DASHES[Math.max(0, field === null || value === null ? 0 : field.values.indexOf(value)) % DASHES.length]!;

/** The same for points. */
export const shapeChannel = (field: Field, width: number): PlotSpec => ({
  ...{ field: 'color', type: 'ordinal', title: field.title, legend: legendOf(field, width) },
  scale: { domain: field.values, range: field.values.map((_, i) => SHAPES[i % SHAPES.length]) },
});

/** Below the picture, in as many columns as have room. */
function legendOf(field: Field, width: number): PlotSpec {
  if (field.isMetric) return { orient: 'bottom', gradientLength: 150 };
  const widest = Math.max(...field.values.map((value) => textWidth(valueText(value), 10)));
  return {
    orient: 'bottom',
    symbolType: 'square',
    columns: Math.max(1, Math.floor((width - 20) / (widest + 36))),
    symbolLimit: 0,
  };
}
