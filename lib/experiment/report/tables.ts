/** Tables of results. Pure. */
import type { Block, Cell, Column, TableBlock } from '../document/document.js';
import { metricTitle } from '../summary/names.js';
import type { PointSummary, Spread } from '../summary/summary.js';
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
  const points = results.points.filter(({ ratios }) => Object.keys(ratios).length > 0);
  const compared = metrics.filter(([name]) => points.some(({ ratios }) => ratios[name] !== undefined));
  if (points.length === 0) return [];
  return chunks(compared, MAX_COLUMNS).map((some) => ({
    kind: 'table',
    caption: RATIO_LEGEND,
    columns: [...pointColumns(results), ...some.map(([name, { unit }]) => figureColumn(metricTitle(name, unit), ''))],
    rows: points.map((point) => [
      ...pointCells(results, point),
      ...some.map((metric) => ratioCell(point.ratios[metric[0]], metric)),
    ]),
  }));
}

function ratioCell(ratio: Spread | undefined, [, { better, kind }]: NamedMetric): Cell {
  if (ratio === undefined) return MISSING;
  const text = ratioText(ratio);
  const [low, high] = ratio.ci ?? (kind === 'count' ? [ratio.mean, ratio.mean] : [-Infinity, Infinity]);
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
