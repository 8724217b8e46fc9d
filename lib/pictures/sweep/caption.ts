/** What a picture of a sweep says of its marks. Pure. Why: docs/decisions/pictures.md#a-mark-says-what-it-stands-for */
import type { PlotSettings } from '../../experiment/base/experiment.js';
import type { Sweep } from './fields.js';
import { axisLabel, valueText } from './labels.js';
import { rowsOfMarks, type PlotFields, type PlotMark } from './marks_of_points.js';

/** One sentence after the other. */
export function captionOf(plot: PlotSettings, fields: PlotFields, marks: readonly PlotMark[], sweep: Sweep): string {
  const sentences = [
    meaning(plot, marks),
    errorText(plot, marks),
    plot.ratio ? 'Compared within a round and seed.' : '',
    plot.ratio ? leftOutText(fields, sweep) : '',
    mixedText(fields, sweep),
    betterText(plot, fields, sweep),
  ];
  return sentences.filter((sentence) => sentence !== '').join(' ');
}

function meaning({ mark, ratio }: PlotSettings, marks: readonly PlotMark[]): string {
  const counts = marks.map(({ n }) => n);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const many = least === most ? String(most) : `${least} to ${most}`;
  if (mark === 'box') return `Boxes: quartiles, line: median, whiskers: lowest and highest of ${many} runs.`;
  if (most === 1) return ratio ? 'Multiple of the baseline; one measurement each.' : 'One measurement each.';
  return ratio ? `Geometric mean of ${many} multiples of the baseline.` : `Mean of ${many} measurements.`;
}

function errorText({ error, mark }: PlotSettings, marks: readonly PlotMark[]): string {
  if (mark === 'box' || mark === 'heat' || marks.every(({ low }) => low === null)) return '';
  if (marks.every(({ low, high }) => low === null || low === high)) return 'All measurements of a mark are equal.';
  if (error === 'ci') return 'Whiskers: 95 % confidence interval of the mean.';
  return error === 'range' ? 'Whiskers: lowest and highest.' : 'Whiskers: one standard deviation.';
}

const leftOutText = ({ value }: PlotFields, { rows }: Sweep): string =>
  rows.some(({ noRatios }) => noRatios.includes(value.name))
    ? 'Left out: points with a pair that has no ratio, as one side is 0 or has no value.'
    : '';

/** Axes of which one mark has several values: none of those that follow from what is shown. */
function mixedText(fields: PlotFields, sweep: Sweep): string {
  const { axes } = sweep;
  const marks = rowsOfMarks(fields, sweep);
  const mixed = axes.filter(({ key }) =>
    marks.some((rows) => new Set(rows.map(({ point }) => valueText(point[key]))).size > 1),
  );
  if (mixed.length === 0) return '';
  return `Over all of ${mixed.map(({ key, values }) => `${axisLabel(key, axes)} (${values.map(valueText).join(', ')})`).join(' and ')} together.`;
}

function betterText({ ratio }: PlotSettings, { value }: PlotFields, { metrics }: Sweep): string {
  const better = metrics[value.name]?.better ?? null;
  if (better === null) return '';
  if (ratio) return `${better === 'higher' ? 'Above' : 'Below'} 1 is better.`;
  return `${better === 'higher' ? 'Higher' : 'Lower'} is better.`;
}
