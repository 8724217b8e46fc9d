/** Tables of results. Pure. */
import type { Block, Cell, Column, TableBlock } from '../document/document.js';
import { metricTitle } from '../summary/names.js';
import type { NoRatio, PointSummary, Spread } from '../summary/summary.js';
import { meanText, ratioText, shownUnit, type ShownUnit } from './figures_text.js';
import { baselineText, pointCells, pointColumns, pointTitle } from './point_columns.js';
import { numRuns, type NamedMetric, type Results } from './results.js';

/** Columns of figures that a page has room for. */
const MAX_COLUMNS = 6;
/** Points beside each other in a table of all metrics. */
const MAX_POINTS = 4;

const MISSING: Cell = { text: '–', tone: 'quiet' };

/** A row per point, a column per metric; of many metrics several tables. */
export const meanTables = (results: Results, metrics: readonly NamedMetric[]): readonly TableBlock[] =>
  chunks(metrics, MAX_COLUMNS).map((some) => meanTable(results, some));

function meanTable(results: Results, metrics: readonly NamedMetric[]): TableBlock {
  const units = metrics.map((metric) => unitOf(results, metric));
  const hasFailed = results.points.some(({ numFailed }) => numFailed > 0);
  const columns = metrics.map(([name], i) => figureColumn(metricTitle(name, metrics[i]![1].unit), units[i]!.unit));
  const rows = results.points.map((point) => [
    ...pointCells(results, point),
    ...(hasFailed ? [runsCell(point)] : []),
    ...metrics.map(([name], i) => meanCell(point.metrics[name], units[i]!)),
  ]);
  return {
    kind: 'table',
    caption: `${meanCaption(results, metrics)} ${baselineText(results)}`.trim(),
    columns: [...pointColumns(results), ...(hasFailed ? [figureColumn('runs', '')] : []), ...columns],
    rows,
  };
}

const figureColumn = (title: string, unit: string): Column => ({ title, unit, isFigure: true });

const unitOf = ({ points }: Results, [name, { unit }]: NamedMetric): ShownUnit =>
  shownUnit(
    unit,
    points.flatMap(({ metrics }) => metrics[name]?.mean ?? []),
  );

const runsCell = ({ numOk, numFailed }: PointSummary): Cell =>
  numFailed === 0 ? String(numOk) : { text: `${numOk} of ${numOk + numFailed}`, tone: 'alarm' };

const meanCell = (spread: Spread | undefined, { divisor }: ShownUnit): Cell =>
  spread === undefined ? MISSING : meanText(spread, divisor);

function meanCaption(results: Results, metrics: readonly NamedMetric[]): string {
  const { numSeeds, numRepeats } = numRuns(results);
  if (numSeeds * numRepeats === 1) return 'One run of each point.';
  const kinds = new Set(metrics.map(([, { kind }]) => kind));
  const runs = `${numSeeds * numRepeats} runs (${plural(numSeeds, 'seed')}, ${plural(numRepeats, 'repeat')})`;
  if (!kinds.has('time')) return `Counts, which follow from the seed: ${ofSeeds(numSeeds)}.`;
  const counts = kinds.has('count') ? ` Counts follow from the seed: ${ofSeeds(numSeeds)}.` : '';
  return `Mean ± half of its 95 % confidence interval over ${runs}.${counts}`;
}

const ofSeeds = (numSeeds: number): string =>
  numSeeds === 1 ? 'one value, exact' : `mean ± half of its 95 % confidence interval over ${numSeeds} seeds`;

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** What the signs of a ratio mean. */
export const RATIO_LEGEND =
  'Ratio to the baseline: the geometric mean over pairs of the same seed and round, with its 95 % confidence interval. ' +
  '▲ better, ▼ worse, ≠ different where neither is: those whose interval leaves 1 out; of twenty that differ in nothing one does so by chance.';

/** A row per point that isn't its own baseline; none where nothing is compared. */
export function ratioTables(results: Results, metrics: readonly NamedMetric[]): readonly TableBlock[] {
  const points = results.points.filter((point) => metrics.some(([name]) => isCompared(point, name)));
  const compared = metrics.filter(([name]) => points.some((point) => isCompared(point, name)));
  if (points.length === 0) return [];
  return chunks(compared, MAX_COLUMNS).map((some) => ({
    kind: 'table',
    caption: `${RATIO_LEGEND}${noRatioLegend(points, some)}`,
    columns: [...pointColumns(results), ...some.map(([name, { unit }]) => figureColumn(metricTitle(name, unit), ''))],
    rows: points.map((point) => [...pointCells(results, point), ...some.map((metric) => ratioCell(point, metric))]),
  }));
}

/** Pairs of 0 and 0, or of nothing, say nothing. */
const isCompared = ({ ratios, noRatios }: PointSummary, name: string): boolean =>
  ratios[name] !== undefined || (noRatios[name] !== undefined && noRatioText(noRatios[name]) !== null);

const NO_RATIO_LEGEND =
  ' ‘0×’ and ‘from 0’: all pairs have 0 at the point, or at the baseline. ' +
  '‘– (1 of 3 pairs)’: only so many pairs have a ratio, as the others have a 0 or no value on one side; a mean of those alone would be one of the runs that went well.';

const noRatioLegend = (points: readonly PointSummary[], metrics: readonly NamedMetric[]): string =>
  points.some(({ noRatios }) => metrics.some(([name]) => noRatios[name] !== undefined)) ? NO_RATIO_LEGEND : '';

/** Null: nothing to say. */
function noRatioText({ kind, numRatios, numPairs }: NoRatio): string | null {
  if (kind === 'to_zero') return '0×';
  if (kind === 'from_zero') return 'from 0';
  return kind === 'both_zero' || numRatios === 0 ? null : `– (${numRatios} of ${numPairs} pairs)`;
}

function ratioCell({ ratios, noRatios }: PointSummary, [name, info]: NamedMetric): Cell {
  const [ratio, none] = [ratios[name], noRatios[name]];
  if (ratio !== undefined) {
    const exact = info.kind === 'count' ? ([ratio.mean, ratio.mean] as const) : ALL;
    return markedCell(ratioText(ratio), ratio.ci ?? exact, info);
  }
  const text = none === undefined ? null : noRatioText(none);
  if (none === undefined || text === null) return MISSING;
  if (none.kind === 'some') return { text, tone: 'quiet' };
  const end = none.kind === 'to_zero' ? 0 : Infinity;
  return markedCell(text, none.numPairs > 1 || info.kind === 'count' ? [end, end] : ALL, info);
}

/** What one time says. */
const ALL = [-Infinity, Infinity] as const;

function markedCell(text: string, [low, high]: readonly [number, number], { better }: NamedMetric[1]): Cell {
  if (low <= 1 && high >= 1) return text;
  if (better === null) return { text: `${text} ≠`, tone: 'strong' };
  const isBetter = low > 1 === (better === 'higher');
  return isBetter ? { text: `${text} ▲`, tone: 'better' } : { text: `${text} ▼`, tone: 'worse' };
}

/** All metrics, a row each, a few points beside each other. */
export const fullTables = (results: Results, metrics: readonly NamedMetric[]): readonly Block[] =>
  chunks(results.points, MAX_POINTS).map((points): TableBlock => {
    const units = metrics.map((metric) => unitOf(results, metric));
    return {
      kind: 'table',
      caption: `${meanCaption(results, metrics)} ${baselineText(results)}`.trim(),
      columns: [
        { title: 'metric', unit: '', isFigure: false },
        { title: 'unit', unit: '', isFigure: false },
        ...points.map((point) => figureColumn(pointTitle(results, point), '')),
      ],
      rows: metrics.map(([name], i) => [
        `\`${name}\``,
        units[i]!.unit,
        ...points.map((point) => meanCell(point.metrics[name], units[i]!)),
      ]),
    };
  });

/** Which points computed the same: a sentence where all did, else a letter for each text that there is. */
export function textBlocks(results: Results): readonly Block[] {
  const { experiment, points } = results;
  const all = Object.keys(experiment.metrics).flatMap((name) => {
    const texts = points.map(({ texts: each }) => each[name] ?? {});
    return texts.some((each) => Object.keys(each).length > 0) ? [{ name, letters: lettersOf(texts) }] : [];
  });
  const isOne = (letters: readonly Cell[]): boolean => letters.every((letter) => letter === 'A' || letter === MISSING);
  const same = all.filter(({ letters }) => isOne(letters));
  const others = all.filter(({ letters }) => !isOne(letters));
  const meaning = ({ name }: { readonly name: string }): string => `\`${name}\` (${experiment.metrics[name]!.what})`;
  const sentence = `All points computed the same for every seed: ${same.map(meaning).join('; ')}.`;
  return [
    ...(same.length === 0 || points.length < 2 ? [] : [{ kind: 'text', text: sentence } as const]),
    ...(others.length === 0 ? [] : [letterTable(results, others, others.map(meaning).join('; '))]),
  ];
}

function letterTable(
  results: Results,
  texts: readonly { readonly name: string; readonly letters: readonly Cell[] }[],
  meaning: string,
): TableBlock {
  const column = ({ name }: { readonly name: string }): Column => ({
    title: metricTitle(name, ''),
    unit: '',
    isFigure: false,
  });
  return {
    kind: 'table',
    caption: `Points with the same letter computed the same for every seed: ${meaning}.`,
    columns: [...pointColumns(results), ...texts.map(column)],
    rows: results.points.map((point, i) => [...pointCells(results, point), ...texts.map(({ letters }) => letters[i]!)]),
  };
}

/** 'A', 'B' … 'Z', 'A1' …, as they first come; what differs within a seed is told. */
function lettersOf(texts: readonly Readonly<Record<string, string | null>>[]): Cell[] {
  type Texts = Readonly<Record<string, string | null>>;
  const seen: Texts[] = [];
  const agree = (a: Texts, b: Texts): boolean =>
    Object.keys(a).every((seed) => b[seed] === undefined || a[seed] === b[seed]);
  return texts.map((bySeed): Cell => {
    if (Object.keys(bySeed).length === 0) return MISSING;
    if (Object.values(bySeed).includes(null)) return { text: 'differs within a seed', tone: 'alarm' };
    const known = seen.findIndex((other) => agree(bySeed, other));
    const place = known >= 0 ? known : seen.push(bySeed) - 1;
    return String.fromCharCode(65 + (place % 26)) + (place < 26 ? '' : String(Math.floor(place / 26)));
  });
}

const chunks = <T>(values: readonly T[], size: number): readonly (readonly T[])[] => {
  const numChunks = Math.ceil(values.length / size);
  const even = Math.ceil(values.length / Math.max(1, numChunks)); // 7 as 4 and 3, not 6 and 1
  return Array.from({ length: numChunks }, (_, i) => values.slice(i * even, (i + 1) * even));
};
