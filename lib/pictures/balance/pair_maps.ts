/** What went between ranks. Pure. */
import { figure } from '../figure.js';
import type { PlotSpec } from '../spec.js';
import { textWidth } from '../text_width.js';
import { SEQUENTIAL } from '../theme.js';
import { columnAxis, heading, MAP_GAP, MAP_WIDTH, rowAxis } from './maps.js';

/** Something of each pair of ranks. */
export interface PairTable {
  readonly title: string;
  /** Of the values: 'KiB'. */
  readonly unit: string;
  readonly caption: string;
  /** [from][to] */
  readonly values: readonly (readonly number[])[];
}

/** Of numbers in cells. */
const FONT_SIZE = 8.5;
/** What the axis of a map takes on its left. */
const AXIS_WIDTH = 40;

/** From rows to columns; a rank to itself sends nothing. */
export function pairMaps(tables: readonly PairTable[]): PlotSpec {
  const width = (MAP_WIDTH - (tables.length - 1) * (MAP_GAP + AXIS_WIDTH)) / tables.length;
  const maps = tables.map((table) => pairMap(table, width));
  return { hconcat: maps, spacing: MAP_GAP, resolve: { scale: { color: 'independent' } } };
}

/** Three digits that count. */
const text = (value: number): string => figure(Number(value.toPrecision(3)));

function pairMap({ title, unit, caption, values: table }: PairTable, width: number): PlotSpec {
  const values = table.flatMap((row, from) =>
    row.flatMap((value, to) => {
      const say = `from rank: ${from}; to rank: ${to}; ${title.toLowerCase()}: ${text(value)} ${unit}`;
      return from === to ? [] : [{ row: from, column: to, value, text: text(value), say }];
    }),
  );
  const widest = Math.max(0, ...values.map((each) => textWidth(each.text, FONT_SIZE)));
  const hasRoom = widest + 4 <= width / table.length;
  const highest = Math.max(1e-9, ...values.map(({ value }) => value));
  const scale = { domain: table.map((_, rank) => rank) };
  return {
    title: heading(`${title} (${unit})`, caption, width + AXIS_WIDTH),
    data: { values },
    ...{ width, height: Math.min(width, Math.max(50, 18 * table.length)) },
    encoding: { x: { ...columnAxis('to rank'), scale }, y: { ...rowAxis('from rank', scale.domain), scale } },
    layer: hasRoom ? [cells(highest), numbers(highest)] : [cells(highest)],
  };
}

const cells = (highest: number): PlotSpec => ({
  mark: { type: 'rect' },
  encoding: {
    color: { field: 'value', type: 'quantitative', scale: { ...SEQUENTIAL, domain: [0, highest] }, legend: null },
    description: { field: 'say' },
  },
});

const numbers = (highest: number): PlotSpec => ({
  mark: { type: 'text', fontSize: FONT_SIZE, aria: false },
  encoding: {
    text: { field: 'text' },
    color: { condition: { test: `datum.value > ${0.55 * highest}`, value: 'white' }, value: '#222' },
  },
});
