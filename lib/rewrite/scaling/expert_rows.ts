/**
 * What goes into experts while a model reads a text, told by hooks: of each layer how large its channels are, and some rows of each expert with their weights.
 * Shape suffixes: H hidden, E experts.
 */
import { uniform } from '../../../base/philox.js';
import { gateOf, type ModelSpec } from '../../model/spec/spec.js';
import type { Hook, HookEvent } from '../../protocol/hook.js';

/** What one token brought to an expert. */
export interface ExpertRow {
  /** [H] the normed state. */
  readonly values: Float32Array;
  /** What the expert's output counts with. */
  readonly weight: number;
}

/** What one layer's experts took. */
export interface LayerRows {
  /** As the model numbers it. */
  readonly layer: number;
  /** [H] Σ |x| over all tokens. */
  readonly sums_H: Float64Array;
  /** [E] of each expert at most {@link MAX_ROWS} of its rows, drawn over the whole text. */
  readonly rows_E: readonly (readonly ExpertRow[])[];
}

/** Rows of an expert that are kept: an output's error is a mean over many channels, so a few dozens tell which of two roundings is better. */
export const MAX_ROWS = 32;

/** Bytes of rows that are kept at a time, unless one layer has more. */
export const MOST_ROW_BYTES = 2 ** 29;

/** Layers that are watched together, so that their rows take at most so many bytes. @param numTokens of the text */
export function layerGroups(
  spec: ModelSpec,
  layers: readonly number[],
  numTokens: number,
  mostBytes: number,
): number[][] {
  const groups: number[][] = [];
  let left = 0;
  for (const layer of layers) {
    const numBytes = 4 * spec.hiddenSize * Math.min(numTokens, MAX_ROWS * gateOf(spec, layer).numExperts);
    if (groups.length === 0 || numBytes > left) {
      groups.push([]);
      left = mostBytes;
    }
    groups.at(-1)!.push(layer);
    left -= numBytes;
  }
  return groups;
}

interface DrawnRow extends ExpertRow {
  readonly draw: number;
}

/** Of some layers. Pieces may be read beside each other: which rows are kept, and all sums, depend on the text alone. */
export class RowWatch {
  private readonly sums = new Map<number, Float64Array>();
  private readonly rows = new Map<number, DrawnRow[][]>();
  private numPieces = 0;

  constructor(
    spec: ModelSpec,
    private readonly layers: readonly number[],
  ) {
    for (const layer of layers) {
      this.sums.set(layer, new Float64Array(spec.hiddenSize));
      this.rows.set(
        layer,
        Array.from({ length: gateOf(spec, layer).numExperts }, () => []),
      );
    }
  }

  /** Who watches the next piece of the text; `done` in the order of pieces. */
  piece(): { readonly hook: Hook; readonly done: () => void } {
    const piece = this.numPieces++;
    const own = new Map<number, Float64Array>();
    let values: Float32Array = new Float32Array(0); // of the token and layer that the next event is of
    const onEvent = (event: HookEvent): void => {
      if (event.point === 'moeInput') {
        ({ values } = event);
        addMagnitudes(own, event.layer, values);
      } else if (event.point === 'routing') {
        const draw = uniform(0, piece, event.position);
        let row: Float32Array | null = null;
        for (const [k, expert] of event.experts.entries()) {
          if (expert < 0) continue;
          const rows = this.rows.get(event.layer)![expert]!;
          if (rows.length === MAX_ROWS && draw > rows.at(-1)!.draw) continue;
          row ??= values.slice();
          insert(rows, { values: row, weight: event.weights[k]!, draw });
        }
      }
    };
    const { layers } = this;
    const done = (): void => {
      for (const [layer, sums_H] of own) sums_H.forEach((sum, h) => (this.sums.get(layer)![h]! += sum));
    };
    return { hook: { points: { moeInput: layers, routing: layers }, onEvent }, done };
  }

  /** What was seen so far. */
  seen(): LayerRows[] {
    return this.layers.map((layer) => ({ layer, sums_H: this.sums.get(layer)!, rows_E: this.rows.get(layer)! }));
  }
}

function addMagnitudes(all: Map<number, Float64Array>, layer: number, values_H: Float32Array): void {
  let sums_H = all.get(layer);
  if (sums_H === undefined) all.set(layer, (sums_H = new Float64Array(values_H.length)));
  for (let h = 0; h < values_H.length; h++) sums_H[h]! += Math.abs(values_H[h]!);
}

/** In ascending order of draws; the last one goes where there are too many. */
function insert(rows: DrawnRow[], row: DrawnRow): void {
  let at = rows.length;
  while (at > 0 && rows[at - 1]!.draw > row.draw) at--;
  rows.splice(at, 0, row);
  if (rows.length > MAX_ROWS) rows.pop();
}
