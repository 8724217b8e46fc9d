/** The columns that say which point a row of a table is of. Pure. */
import type { Cell, Column } from '../document/document.js';
import type { PointSummary } from '../summary/summary.js';
import { axisTitle, valueTitle } from '../summary/names.js';
import type { Results } from './results.js';

/** Marks the point that others are compared with. */
export const BASELINE_MARK = '†';

/** One for each key of the sweep. */
export function pointColumns({ experiment: { axes } }: Results): readonly Column[] {
  if (axes.length === 0) return [{ title: 'point', unit: '', isFigure: false }];
  return axes.map(({ key, values }) => ({
    title: axisTitle(key, axes),
    unit: '',
    isFigure: values.every((value) => typeof value === 'number'),
  }));
}

/** The point's values; its baseline is marked in the last of them, so that figures still end alike. */
export function pointCells(results: Results, { point, isBaseline }: PointSummary): readonly Cell[] {
  const { axes } = results.experiment;
  const columns = pointColumns(results);
  const values = axes.length === 0 ? ['the only one'] : axes.map(({ key }) => valueTitle(point[key]));
  const marked = (value: string, i: number): string =>
    columns[i]!.isFigure ? `${BASELINE_MARK} ${value}` : `${value} ${BASELINE_MARK}`;
  return values.map((value, i) => (isBaseline && i === values.length - 1 ? marked(value, i) : value));
}

/** All values in one: the head of a column. */
export const pointTitle = (results: Results, summary: PointSummary): string =>
  results.experiment.axes.length === 0
    ? 'the only point'
    : results.experiment.axes
        .map(({ key }) => `${axisTitle(key, results.experiment.axes)} ${valueTitle(summary.point[key])}`)
        .join(', ') + (summary.isBaseline ? ` ${BASELINE_MARK}` : '');

/** What the mark says, where it stands. */
export const baselineText = ({ experiment: { baseline, axes }, points }: Results): string =>
  baseline === null || points.every(({ isBaseline }) => !isBaseline)
    ? ''
    : `${BASELINE_MARK} baseline (${Object.entries(baseline)
        .map(([key, value]) => `${axisTitle(key, axes)} ${valueTitle(value)}`)
        .join(', ')}).`;
