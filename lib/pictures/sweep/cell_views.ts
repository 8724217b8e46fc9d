/** Boxes and maps: the marks of one picture, without its frame. Pure. */
import { figure } from '../figure.js';
import type { PlotSpec } from '../spec.js';
import { aroundOne, SEQUENTIAL } from '../theme.js';
import { fieldOf, numberIn } from './fields.js';
import { facetText } from './marks_of_points.js';
import { valueTitle, type PlotView } from './point_view.js';
import { colorChannel, scaleOf, ticksOf, xChannel } from './scales.js';

/** Each run by itself: quartiles, and lowest to highest. */
export function boxView({ plot, fields, sweep, width, legendWidth }: PlotView): PlotSpec {
  const { x, color, facet, value } = fields;
  const values = sweep.rows.flatMap((row) => {
    const measured = plot.ratio ? (row.ratios[value.name] ?? null) : numberIn(row.metrics, value.name);
    if (measured === null) return [];
    return [
      {
        x: x.of(row),
        color: color?.of(row) ?? null,
        facet: facet === null ? null : facetText(facet, facet.of(row)),
        value: measured,
      },
    ];
  });
  const all = values.map(({ value: measured }) => measured);
  const offset = color === null || color.isMetric ? {} : { xOffset: { field: 'color', sort: color.values } };
  return {
    data: { values },
    mark: { type: 'boxplot', extent: 'min-max', size: 14, median: { color: 'white' } },
    encoding: {
      x: xChannel(x, plot.scale, { values: [], isDrawnToScale: false, width }),
      ...offset,
      y: {
        ...{ field: 'value', type: 'quantitative', title: value.title + (plot.ratio ? ' / baseline' : '') },
        ...{ scale: scaleOf(plot.scale.y, all), axis: ticksOf(plot.scale.y, all) },
      },
      ...(color === null ? {} : { color: colorChannel(color, legendWidth) }),
    },
  };
}

/** More cells than this have no numbers in them. */
const MAX_NUMBERS = 64;

/** A cell for each pair of values. */
export function heatView(view: PlotView): PlotSpec {
  const { plot, fields, marks, width, legendWidth } = view;
  const row = fieldOf(plot.y, view.sweep);
  const highest = Math.max(...marks.map(({ value }) => value));
  const lowest = Math.min(...marks.map(({ value }) => value));
  const scale = plot.ratio ? aroundOne(highest) : SEQUENTIAL;
  const legend = { orient: 'bottom', gradientLength: Math.min(150, legendWidth / 2), ...ticksOf('linear', [highest]) };
  const cells = {
    mark: { type: 'rect', stroke: 'white', strokeWidth: 1 },
    encoding: {
      color: { field: 'value', type: 'quantitative', title: valueTitle(view), scale, legend },
      description: { field: 'say' },
    },
  };
  const isDark = plot.ratio
    ? `datum.value > ${1 + 0.6 * (Math.max(2, highest) - 1)} || datum.value < 0.4`
    : `datum.value > ${lowest + 0.55 * (highest - lowest)}`;
  const numbers = {
    mark: { type: 'text', fontSize: 9, aria: false },
    encoding: {
      text: { field: 'figure' },
      color: { condition: { test: isDark, value: 'white' }, value: '#222222' },
    },
  };
  return {
    data: { values: marks.map((mark) => ({ ...mark, figure: figure(mark.value) })) },
    encoding: {
      x: xChannel(fields.x, plot.scale, { values: [], isDrawnToScale: false, width }),
      y: { field: 'row', type: 'ordinal', title: row.title, sort: row.values },
    },
    layer: marks.length > MAX_NUMBERS ? [cells] : [cells, numbers],
  };
}
