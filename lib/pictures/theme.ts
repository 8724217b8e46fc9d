/** How all pictures look: in print, in grey, to those who see fewer colours, and at the width of a column. Why: docs/decisions/pictures.md#one-look */
import type { PlotSpec } from './spec.js';
import { wrapped } from './text_width.js';

/** Widths of whole pictures in CSS pixels, 96 to the inch: a column of 8.5 cm, a page of two. */
export const COLUMN_WIDTH = 321;
export const PAGE_WIDTH = 661;

/** Okabe's and Ito's colours without their yellow, which white paper swallows. */
export const CATEGORIES = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'];
/** So that lines are told apart without colour; as many as there are colours. */
export const DASHES = [
  [1, 0],
  [5, 2],
  [2, 2],
  [7, 2, 2, 2],
  [1, 1],
  [8, 4],
  [4, 1, 1, 1],
];
/** The same for points. */
export const SHAPES = ['circle', 'square', 'triangle-up', 'diamond', 'cross', 'triangle-down', 'triangle-right'];
/** More is darker, evenly, in grey too. */
export const SEQUENTIAL = { scheme: 'yellowgreenblue' };
/** What a reader is to notice: losses, rebalances. */
export const ALARM = '#d55e00';
/** What is behind the rest. */
export const QUIET = '#8a8a8a';

/** For multiples of something: blue below 1, white at 1, red above; the darkest red is the highest value, and 2 at least. */
export const aroundOne = (highest: number): PlotSpec => ({
  scheme: 'redblue',
  reverse: true,
  domain: [0, 1, Math.max(2, highest)],
});

const FONT = 'Arial, Liberation Sans, Arimo, Helvetica, sans-serif';
/** 10 px are 7.5 points in print, where the picture has its own size. */
const FONT_SIZE = 10;
/** Of lines of captions. */
export const CAPTION_SIZE = 9.5;
const INK = '#222222';
const GRID = '#e4e4e4';

const CONFIG: PlotSpec = {
  font: FONT,
  background: 'white',
  axis: {
    ...{ labelFontSize: FONT_SIZE, titleFontSize: FONT_SIZE, titleFontWeight: 'normal', titlePadding: 5 },
    ...{ labelColor: INK, titleColor: INK, domainColor: INK, tickColor: INK, tickSize: 4, gridColor: GRID },
    ...{ labelOverlap: true, labelLimit: 160 },
  },
  legend: {
    ...{
      labelFontSize: FONT_SIZE,
      titleFontSize: FONT_SIZE,
      titleFontWeight: 'normal',
      labelLimit: 220,
      titleLimit: 260,
    },
    ...{
      labelColor: INK,
      titleColor: INK,
      symbolStrokeWidth: 1.5,
      symbolOpacity: 1,
      symbolSize: 50,
      offset: 8,
      gradientThickness: 10,
      rowPadding: 2,
    },
  },
  header: {
    ...{
      labelFontSize: FONT_SIZE,
      titleFontSize: FONT_SIZE,
      labelColor: INK,
      titleColor: INK,
      titleFontWeight: 'normal',
    },
    labelFontWeight: 'bold',
  },
  title: {
    ...{ anchor: 'start', fontSize: 11, fontWeight: 'bold', color: INK, offset: 8 },
    ...{ subtitleFontSize: CAPTION_SIZE, subtitleColor: '#555555', subtitlePadding: 3, subtitleLineHeight: 12 },
  },
  mark: { color: CATEGORIES[0] },
  range: { category: CATEGORIES, symbol: SHAPES },
  view: { stroke: null },
  line: { strokeWidth: 1.5 },
  point: { size: 28, filled: true },
  rule: { color: INK },
};

/** A whole picture in this look. `padding`: of 5 px. */
export const themed = (spec: PlotSpec): PlotSpec => ({
  $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
  padding: 5,
  ...spec,
  config: CONFIG,
});

/** A heading with a caption below that is broken into lines of `width`. */
export const titled = (text: string, caption: string, width: number): PlotSpec => ({
  text: wrapped(text, width, 11 * 1.08),
  ...(caption === '' ? {} : { subtitle: wrapped(caption, width, CAPTION_SIZE) }),
});
