/** A picture of an experiment's results as a Vega-Lite specification. Pure. Why: docs/decisions/pictures.md#a-mark-says-what-it-stands-for */
import type { PlotSettings } from '../../experiment/base/experiment.js';
import { figure } from '../figure.js';
import type { PlotSpec } from '../spec.js';
import { COLUMN_WIDTH, PAGE_WIDTH, themed, titled } from '../theme.js';
import { textWidth } from '../text_width.js';
import { captionOf } from './caption.js';
import type { Sweep } from './fields.js';
import { boxView, heatView } from './cell_views.js';
import { pointView, type PlotView } from './point_view.js';
import { facetText, plotFields, plotMarks, type PlotFields, type PlotMark } from './marks_of_points.js';

const HEIGHT = 190;
const PADDING = 5;
/** Between pictures side by side. */
const GAP = 20;
const MAX_BESIDE = 3;

/**
 * One picture: as wide as a column, and as a page with `facet`. What was measured several times is drawn as its mean (of ratios, the geometric one) with whiskers as `error` says.
 * Without a result that it could show it says so.
 */
export function sweepPlot(plot: PlotSettings, sweep: Sweep): PlotSpec {
  const fields = plotFields(plot, sweep);
  const marks = plotMarks(plot, fields, sweep);
  const title = plot.title ?? titleOf(plot, sweep);
  if (marks.length === 0) return emptyPlot(title);
  const caption = captionOf(plot, fields, marks, sweep);
  const { facet } = fields;
  const width = facet === null ? COLUMN_WIDTH : PAGE_WIDTH;
  const columns = facet === null ? 1 : columnsOf(facet.values.length);
  const size = facet === null ? width : cellWidth(columns, leftOf(plot, fields, marks));
  const view: PlotView = { plot, fields, marks, sweep, width: size, legendWidth: width };
  const body = plot.mark === 'heat' ? heatView(view) : plot.mark === 'box' ? boxView(view) : pointView(view);
  const head = { title: titled(title, caption, width - 10) };
  if (facet === null) {
    const fit = { autosize: { type: 'fit-x', contains: 'padding' }, width, height: HEIGHT };
    return themed({ ...head, ...fit, ...body });
  }
  const { data, ...spec } = body;
  const sort = facet.values.map((value) => facetText(facet, value));
  return themed({
    ...head,
    data,
    facet: { field: 'facet', type: 'ordinal', title: null, sort },
    columns,
    spacing: GAP,
    resolve: { axis: { x: 'independent' } },
    spec: { width: size, height: HEIGHT - 40, ...spec },
  });
}

/** Four are two and two. */
const columnsOf = (numCells: number): number => (numCells === 4 ? 2 : Math.min(MAX_BESIDE, numCells));

const cellWidth = (columns: number, left: number): number =>
  Math.floor((PAGE_WIDTH - 2 * PADDING - left - (columns - 1) * GAP) / columns);

/** What the title and the labels on the left take. */
function leftOf(plot: PlotSettings, { row }: PlotFields, marks: readonly PlotMark[]): number {
  const numbers = marks.map(({ value, high }) => figure(Math.round(high ?? value)));
  const labels = row === null ? (plot.ratio ? ['0.00'] : numbers) : row.values.map(String);
  return 26 + Math.max(...labels.map((label) => textWidth(label, 10)));
}

function titleOf(plot: PlotSettings, sweep: Sweep): string {
  const { x, value, row, color, facet } = plotFields(plot, sweep);
  const bare = (title: string): string => title.replace(/ \([^)]*\)$/, '');
  const by = [x, row, color, facet].filter((field) => field !== null).map(({ title }) => bare(title));
  const what = `${bare(value.title)}${plot.ratio ? ' against the baseline' : ''}`;
  return `${what.charAt(0).toUpperCase()}${what.slice(1)} by ${by.join(', ').replace(/, ([^,]*)$/, ' and $1')}`;
}

const emptyPlot = (title: string): PlotSpec =>
  themed({
    title: titled(title, 'No run has a result for this picture.', COLUMN_WIDTH - 10),
    ...{ width: COLUMN_WIDTH - 10, height: 10, data: { values: [] }, mark: 'point' },
  });
