/** Maps of a run: cells for layers, experts, ranks. Pure. Shape suffixes: L MoE layers, C columns. */
import { figure } from '../figure.js';
import type { PlotSpec } from '../spec.js';
import { wrapped } from '../text_width.js';
import { aroundOne, CAPTION_SIZE } from '../theme.js';

/** Of what is drawn in a picture of the width of a page: the rest is for axes and legends, which all maps have at the same places. */
export const MAP_WIDTH = 530;
/** Between two maps side by side. */
export const MAP_GAP = 30;
const CELL_HEIGHT = 15;
/** Cells narrower than this have no numbers in them. */
const WIDE_CELL = 26;

/** A heading over a part of a picture, from its left edge on, and what it means in small letters. */
export const heading = (text: string, caption: string, width = MAP_WIDTH + 60): PlotSpec => ({
  ...{ text, frame: 'group', offset: 6 },
  ...(caption === '' ? {} : { subtitle: wrapped(caption, width, CAPTION_SIZE) }),
});

/** A load and its multiple of the mean of its row: 0 without any. */
export interface RelativeLoad {
  readonly load: number;
  readonly relative: number;
}

/** Of each column. */
export function relativeLoads(load_C: ArrayLike<number>): RelativeLoad[] {
  const mean = Array.from(load_C).reduce((a, b) => a + b, 0) / load_C.length;
  return Array.from(load_C, (load) => ({ load, relative: mean === 0 ? 0 : load / mean }));
}

/** What a map of load shows. */
export interface LoadMap {
  readonly title: PlotSpec;
  /** 'expert', 'rank'. */
  readonly column: string;
  /** What the rows are: 'layer'. */
  readonly row: string;
  /** Of each row. */
  readonly names: readonly (number | string)[];
  /** [row][C] */
  readonly loads: readonly ArrayLike<number>[];
  readonly width: number;
  /** In the middle of a cell instead of its number, where there is room; undefined: none. */
  readonly markOf?: (row: number, column: number) => string;
  /** Of the colours: the highest of all maps that share them. */
  readonly highest: number;
}

/** The highest multiple of its row's mean. */
export const highestOf = (loads: readonly ArrayLike<number>[]): number =>
  Math.max(0, ...loads.flatMap((load_C) => relativeLoads(load_C).map(({ relative }) => relative)));

/** A cell per row and column, whose colour is a multiple of the row's mean: white is even. */
export function loadMap(map: LoadMap): PlotSpec {
  const { title, column, row, names, loads, width, markOf, highest } = map;
  const numColumns = loads[0]?.length ?? 0;
  const isWide = width / numColumns >= WIDE_CELL;
  const values = loads.flatMap((load_C, i) =>
    relativeLoads(load_C).map(({ load, relative }, c) => ({
      ...{ row: names[i]!, column: c, relative },
      text: markOf?.(i, c) ?? (isWide ? relative.toFixed(2) : ''),
      say: `${placeOf(map, i, c)}; load / mean: ${figure(relative)}; load: ${figure(load)}`,
    })),
  );
  const hasText = values.some(({ text }) => text !== '');
  return {
    title,
    data: { values },
    width,
    height: CELL_HEIGHT * loads.length,
    encoding: { x: columnAxis(column), y: rowAxis(row, names) },
    layer: [cells(highest), ...(hasText ? [texts(highest)] : [])],
  };
}

const placeOf = ({ column, row, names }: LoadMap, i: number, c: number): string =>
  row === 'layer' ? `${column}: ${c}; layer: ${names[i]!}` : `${row}: ${names[i]!}; ${column}: ${c}`;

/** Ordinal, with names that lie. */
export const columnAxis = (title: string): PlotSpec => ({
  field: 'column',
  type: 'ordinal',
  axis: { title, labelAngle: 0, labelOverlap: true, domain: false, ticks: false },
});

/** In the order of `names`. */
export const rowAxis = (title: string, names: readonly unknown[]): PlotSpec => ({
  ...{ field: 'row', type: 'ordinal', sort: names },
  axis: { title: title === 'layer' ? 'MoE layer' : title, domain: false, ticks: false, minExtent: 20, labelLimit: 90 },
});

const cells = (highest: number): PlotSpec => ({
  mark: { type: 'rect' },
  encoding: {
    color: {
      ...{ field: 'relative', type: 'quantitative', title: 'load / mean', scale: aroundOne(highest) },
      legend: { gradientLength: 60, tickCount: 3 },
    },
    description: { field: 'say' },
  },
});

function texts(highest: number): PlotSpec {
  const dark = 1 + 0.6 * (Math.max(2, highest) - 1);
  return {
    mark: { type: 'text', fontSize: 8.5, aria: false },
    encoding: {
      text: { field: 'text' },
      color: { condition: { test: `datum.relative > ${dark} || datum.relative < 0.3`, value: 'white' }, value: '#222' },
    },
  };
}
