/** The columns that say which point a row of a table is of. Pure. */
import type { Axis } from '../base/experiment.js';
import type { Cell, Column } from '../document/document.js';
import type { PointSummary } from '../summary/summary.js';
import { axisTitle, valueTitle } from '../summary/names.js';
import type { Results } from './results.js';

/** Marks the point that others are compared with. */
export const BASELINE_MARK = '†';

/** The name of points that a file gives by hand. */
const LABEL = 'label';

/** Those that tell points apart: what follows from a point's label says nothing more. */
function tellingAxes({ experiment: { axes }, points }: Results): readonly Axis[] {
  if (!axes.some(({ key }) => key === LABEL)) return axes;
  const follows = (key: string): boolean => {
    const byLabel = new Map<string, Set<string>>();
    for (const { point } of points) {
      const label = JSON.stringify(point[LABEL]);
      byLabel.set(label, (byLabel.get(label) ?? new Set()).add(valueTitle(point[key])));
    }
    return [...byLabel.values()].every(({ size }) => size === 1);
  };
  return axes.filter(({ key }) => key === LABEL || !follows(key));
}

/** One for each key of the sweep that tells points apart. */
export function pointColumns(results: Results): readonly Column[] {
  const axes = tellingAxes(results);
  if (axes.length === 0) return [{ title: 'point', unit: '', isFigure: false }];
  return axes.map(({ key, values }) => ({
    title: axisTitle(key, axes),
    unit: '',
    isFigure: values.every((value) => typeof value === 'number'),
  }));
}

/** The point's values; its baseline is marked in the last of them, so that figures still end alike. */
export function pointCells(results: Results, { point, isBaseline }: PointSummary): readonly Cell[] {
  const axes = tellingAxes(results);
  const columns = pointColumns(results);
  const values = axes.length === 0 ? ['the only one'] : axes.map(({ key }) => valueTitle(point[key]));
  const marked = (value: string, i: number): string =>
    columns[i]!.isFigure ? `${BASELINE_MARK} ${value}` : `${value} ${BASELINE_MARK}`;
  return values.map((value, i) => (isBaseline && i === values.length - 1 ? marked(value, i) : value));
}

/** All values in one: the head of a column. */
export function pointTitle(results: Results, { point, isBaseline }: PointSummary): string {
  const axes = tellingAxes(results);
  if (axes.length === 0) return 'the only point';
  const values = axes.map(({ key }) => `${key === LABEL ? '' : `${axisTitle(key, axes)} `}${valueTitle(point[key])}`);
  return values.join(', ') + (isBaseline ? ` ${BASELINE_MARK}` : '');
}

/** What the mark says, where it stands. */
export const baselineText = ({ experiment: { baseline, axes }, points }: Results): string =>
  baseline === null || points.every(({ isBaseline }) => !isBaseline)
    ? ''
    : `${BASELINE_MARK} baseline (${Object.entries(baseline)
        .map(([key, value]) => `${axisTitle(key, axes)} ${valueTitle(value)}`)
        .join(', ')}).`;
