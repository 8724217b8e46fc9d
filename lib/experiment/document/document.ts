/**
 * A report as data, which becomes Markdown and HTML alike. Texts are plain but for `code` between backticks.
 * Why: docs/decisions/experiments.md#one-report-two-forms
 */
import type { PlotSpec } from '../../pictures/spec.js';

/** What a cell says of its figure. */
export type Tone = 'better' | 'worse' | 'strong' | 'quiet' | 'alarm';

/** Of a table. */
export type Cell = string | { readonly text: string; readonly tone: Tone };

/** The head of a column; figures stand to the right. */
export interface Column {
  readonly title: string;
  /** Below the title; empty: none. */
  readonly unit: string;
  readonly isFigure: boolean;
}

/** A table with its caption; tables are numbered as they come. */
export interface TableBlock {
  readonly kind: 'table';
  readonly caption: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
}

/** A picture with its caption; numbered as they come. */
export interface FigureBlock {
  readonly kind: 'figure';
  /** Of its files: 'speed', for plots/speed.svg. */
  readonly name: string;
  readonly title: string;
  readonly caption: string;
  /** As wide as a page, not as a column. */
  readonly isWide: boolean;
  readonly spec: PlotSpec;
}

/** A part of a report. */
export type Block =
  | { readonly kind: 'heading'; readonly text: string }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly string[] }
  /** Sentences that nobody may overlook. */
  | { readonly kind: 'warning'; readonly items: readonly string[] }
  /** Each a name and what it is. */
  | { readonly kind: 'terms'; readonly items: readonly (readonly [term: string, text: string])[] }
  | { readonly kind: 'code'; readonly language: string; readonly text: string }
  | TableBlock
  | FigureBlock
  /** Folded where that can be: what few readers want. */
  | { readonly kind: 'more'; readonly title: string; readonly blocks: readonly Block[] };

/** A whole report. */
export interface Document {
  readonly title: string;
  readonly blocks: readonly Block[];
}

/** All figures of blocks, in their order. */
export const figuresOf = (blocks: readonly Block[]): readonly FigureBlock[] =>
  blocks.flatMap((block) => (block.kind === 'figure' ? [block] : block.kind === 'more' ? figuresOf(block.blocks) : []));

/** The words of a cell. */
export const cellText = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.text);

/** Parts of a text: outside and inside backticks, in turns. */
export const codeParts = (text: string): readonly { readonly isCode: boolean; readonly text: string }[] => {
  const parts = text.split('`');
  if (parts.length % 2 === 0) return [{ isCode: false, text }]; // a lone backtick is itself
  return parts.map((part, i) => ({ isCode: i % 2 === 1, text: part })).filter((part) => part.text !== '');
};
