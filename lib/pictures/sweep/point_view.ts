/** Points with lines and bars: the marks of one picture, without its frame. Pure. */
import type { PlotSettings } from '../../experiment/base/experiment.js';
import type { PlotSpec } from '../spec.js';
import { QUIET } from '../theme.js';
import type { Sweep } from './fields.js';
import type { PlotFields, PlotMark } from './marks_of_points.js';
import { bendText, colorChannel, dashOf, scaleOf, shapeChannel, ticksOf, xChannel } from './scales.js';

/** What a picture is drawn from. */
export interface PlotView {
  readonly plot: PlotSettings;
  readonly fields: PlotFields;
  readonly marks: readonly PlotMark[];
  readonly sweep: Sweep;
  /** Of the picture, or of each of those side by side. */
  readonly width: number;
  readonly legendWidth: number;
}

/** Of what is measured. */
export const valueTitle = ({ plot, fields }: PlotView): string =>
  fields.value.title + (plot.ratio ? ' / baseline' : '');

/** Lines, bars or points, each with its whiskers. On a logarithmic scale, and with a metric as colour, bars are points. */
export function pointView(view: PlotView): PlotSpec {
  const { plot, fields, marks } = view;
  const kind = plot.mark === 'auto' ? (fields.x.isMetric ? 'point' : fields.x.isNumeric ? 'line' : 'bar') : plot.mark;
  const isBar = kind === 'bar';
  const hasBars = isBar && plot.scale.y === 'linear' && fields.color?.isMetric !== true; // a logarithm has no 0 to begin at
  const xs = marks.flatMap(({ x: each }) => (typeof each === 'number' ? [each] : []));
  const isDrawnToScale = fields.x.isNumeric && !isBar && xs.length === marks.length;
  const x = xChannel(fields.x, plot.scale, { values: xs, isDrawnToScale, width: view.width });
  const isBeside = isBar && fields.color !== null && !fields.color.isMetric;
  const xOffset = isBeside ? { xOffset: { field: 'color', sort: fields.color.values } } : {};
  const layers = [
    ...(plot.ratio ? [one] : []),
    ...(kind === 'line' ? [lineLayer(view)] : []),
    hasBars ? barLayer(view) : dotLayer(view),
    ...whiskerLayers(view, hasBars),
  ];
  const values = marks.map((mark) => ({ ...mark, dash: dashOf(fields.color, mark.color) }));
  return { data: { values }, encoding: { x, ...xOffset }, layer: layers };
}

/** Where the baseline is. */
const one: PlotSpec = {
  data: { values: [{}] },
  mark: { type: 'rule', color: QUIET, strokeDash: [4, 3], aria: false },
  encoding: { x: null, xOffset: null, y: { datum: 1 } },
};

function yChannel(view: PlotView, field: 'value' | 'low', zero: boolean): PlotSpec {
  const { plot, marks } = view;
  const all = marks.flatMap(({ value, low, high }) => [value, low ?? value, high ?? value]);
  const scale = { ...scaleOf(plot.scale.y, all), ...(zero && plot.scale.y === 'linear' ? { zero: true } : {}) };
  const title = valueTitle(view) + bendText(scale);
  return { field, type: 'quantitative', title, scale, axis: ticksOf(plot.scale.y, all) };
}

const colors = ({ fields: { color }, legendWidth }: PlotView): PlotSpec =>
  color === null ? {} : { color: colorChannel(color, legendWidth) };

/** Not by a scale: a legend would draw the dash around its symbols. */
const DASH = { strokeDash: { field: 'dash', type: 'nominal', scale: null } };

function lineLayer(view: PlotView): PlotSpec {
  const { color } = view.fields;
  const dash = color === null || color.isMetric ? {} : DASH;
  return {
    mark: { type: 'line', aria: false },
    encoding: { y: yChannel(view, 'value', false), ...dash, ...colors(view) },
  };
}

function dotLayer(view: PlotView): PlotSpec {
  const { color } = view.fields;
  const shape = color === null || color.isMetric ? {} : { shape: shapeChannel(color, view.legendWidth) };
  const say = { description: { field: 'say' } };
  return {
    mark: { type: 'point', filled: true, size: 34, opacity: 1 },
    encoding: { y: yChannel(view, 'value', false), ...shape, ...colors(view), ...say },
  };
}

const barLayer = (view: PlotView): PlotSpec => ({
  mark: { type: 'bar' },
  encoding: { y: { ...yChannel(view, 'value', true), stack: null }, ...colors(view), description: { field: 'say' } },
});

function whiskerLayers(view: PlotView, isBar: boolean): PlotSpec[] {
  if (view.marks.every(({ low, high }) => low === null || low === high)) return [];
  const transform = [{ filter: 'isValid(datum.low) && isValid(datum.high) && datum.low !== datum.high' }];
  const y = yChannel(view, 'low', isBar);
  const ink = isBar ? { color: { value: '#222222' } } : colors(view);
  const mark = { aria: false, strokeWidth: 1, opacity: 1 };
  const end = (field: string): PlotSpec => ({
    transform,
    mark: { ...mark, type: 'tick', orient: 'horizontal', size: 6, thickness: 1 },
    encoding: { y: { ...y, field }, ...ink },
  });
  const rule = { transform, mark: { ...mark, type: 'rule' }, encoding: { y, y2: { field: 'high' }, ...ink } };
  return [rule, end('low'), end('high')];
}
