/** The pictures of a report. Pure. */
import type { PlotSettings } from '../base/experiment.js';
import type { FigureBlock } from '../document/document.js';
import { comparedRows } from '../summary/summarize.js';
import { sweepPlot } from '../../pictures/sweep/sweep_plot.js';
import { PARALLEL_NAME } from './parallel_figure.js';
import { isScorecard } from './scorecard.js';
import { mainMetrics, type Results } from './results.js';

/** Pictures where a file asks for none. */
const NUM_OWN = 2;

/** One for each of the file's; of a sweep without any (a scorecard has its own), of its first metrics over its first axis. Names are of files: no two are alike. */
export function plotFigures(results: Results): readonly FigureBlock[] {
  const { experiment } = results;
  const plots = experiment.plots.length > 0 || isScorecard(results) ? experiment.plots : ownPlots(results);
  const rows = comparedRows(experiment, results.rows);
  const names = new Set([PARALLEL_NAME]);
  return plots.map((plot) => {
    const spec = sweepPlot(plot, { axes: experiment.axes, metrics: experiment.metrics, rows });
    return { kind: 'figure', name: newName(plot, names), ...headOf(spec), isWide: plot.facet !== null, spec };
  });
}

/** What pictures say above themselves is what reports say below them. */
function headOf({ title }: Readonly<Record<string, unknown>>): { readonly title: string; readonly caption: string } {
  const { text, subtitle } = (title ?? {}) as {
    readonly text?: string | string[];
    readonly subtitle?: string | string[];
  };
  const joined = (lines: string | string[] | undefined): string => [lines ?? []].flat().join(' ');
  return { title: joined(text), caption: joined(subtitle) };
}

function newName({ title, x, y, facet, ratio }: PlotSettings, names: Set<string>): string {
  const said = title ?? [y, ...(ratio ? ['ratio'] : []), 'by', x, ...(facet === null ? [] : ['and', facet])].join(' ');
  const base =
    said
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-+|-+$/g, '')
      .slice(0, MAX_NAME_CHARS) || 'plot';
  let name = base;
  for (let i = 2; names.has(name); i++) name = `${base}-${i}`;
  names.add(name);
  return name;
}

const MAX_NAME_CHARS = 60;

function ownPlots(results: Results): readonly PlotSettings[] {
  const { axes } = results.experiment;
  const several = axes.filter(({ values }) => values.length > 1);
  const isNumeric = (values: readonly unknown[]): boolean => values.every((value) => typeof value === 'number');
  const x = several.find(({ values }) => isNumeric(values)) ?? several[0];
  if (x === undefined) return [];
  const color = several.find((axis) => axis !== x)?.key ?? null;
  const rest = { color, facet: null, scale: { x: 'linear', y: 'linear' }, error: 'ci', ratio: false } as const;
  return mainMetrics(results)
    .slice(0, NUM_OWN)
    .map(([y]) => ({ title: null, mark: 'auto', x: x.key, y, ...rest }));
}
