/**
 * FP8 E4M3: a code per value, and scales of blocks (DeepSeek-V3: `weight_scale_inv`, which is multiplied with), of rows, of groups of a row, or of all (compressed-tensors,
 * modelopt: `weight_scale`). A value is code · scale, rounded to float32. Why: docs/decisions/formats.md#tensors-tell-their-format
 */
import { wrongShape } from '../../weights/checkpoint.js';
import type { TensorInfo } from '../../weights/safetensors_header.js';
import { e4m3Values } from '../../../compute/base/small_floats.js';
import {
  codedRows,
  copierOf,
  floatsIn,
  groupWidth,
  isWholeGroups,
  refuseZeros,
  rowsPart,
  scalesOf,
  sharedPart,
  type Folder,
  type Format,
} from './format.js';
import type { Located } from './located.js';
import type { DecodeRows, PackedPart, Packing } from './packing.js';

/** F8_E4M3. Where nobody says a word of scales, a code is the value. */
export const fp8Packing: Format = (folder, at, [rows, columns]) => {
  const tensor = folder.checkpoint.find(at.base + at.ending);
  if (tensor?.dtype !== 'F8_E4M3' || columns === undefined || at.lines.axis === 1) return undefined;
  const codes = rowsPart(tensor, at, rows, [columns]);
  const scale = scaleTensor(folder, at);
  const { first, step, of } = at.lines;
  refuseZeros(folder.checkpoint, at.base);
  if (scale === undefined && folder.hasScales())
    throw folder.checkpoint.missingTensor(`${at.base}${at.ending}_scale_inv`);
  if (scale === undefined) return { dtype: 'f32', parts: [codes], ...rowsOfFp8(ONE, columns, () => 0) };
  const grid = gridOf(scale, at, [of, columns], folder.quantization);
  const part = sharedPart(scale, grid.numScales === 1 ? { entry: entryOf(scale, at) } : at, grid.shape);
  const base = (row: number): number => Math.floor((first + step * row) / grid.height) * grid.perRow;
  return { dtype: 'f32', parts: [codes, part], ...rowsOfFp8({ ...grid, part }, columns, base) };
};

/** What scales are called behind the name of the weights; and behind the name without `.weight`. */
function scaleTensor({ checkpoint }: Folder, { base, ending }: Located): TensorInfo | undefined {
  const names = [`${base}${ending}_scale_inv`, `${base}${ending}_scale`, `${base}.scale_inv`, `${base}.scale`];
  return names.map((name) => checkpoint.find(name)).find((tensor) => tensor !== undefined);
}

interface Grid {
  /** Rows and columns that share a scale. */
  readonly height: number;
  readonly width: number;
  /** Scales beside each other. */
  readonly perRow: number;
}

const ONE = { height: 1, width: Infinity, perRow: 0, part: null };

/** One for all, one per row or for groups of a row, or blocks; the last ones may be smaller. @throws WeightError SHAPE_MISMATCH */
function gridOf(
  scale: TensorInfo,
  { entry }: Located,
  [of, columns]: readonly [number, number],
  { blockSize: [blockRows, blockColumns], groupSize }: Folder['quantization'],
): Grid & { readonly shape: readonly number[]; readonly numScales: number } {
  const own = entry !== null && scale.shape.length > 0 ? scale.shape.slice(1) : scale.shape;
  const dims = own.length === 4 && own[1] === 1 && own[3] === 1 ? [own[0]!, own[2]!] : own; // modelopt's blocks
  const [down = 1, across = 1] = dims;
  const numScales = down * across;
  if (dims.every((size) => size === 1)) return { height: of, width: columns, perRow: 0, shape: [], numScales };
  const blocks = [Math.ceil(of / blockRows), Math.ceil(columns / blockColumns)] as const;
  if (down === blocks[0] && across === blocks[1]) {
    return { height: blockRows, width: blockColumns, perRow: across, shape: blocks, numScales };
  }
  if (down === of) {
    const width = across === 1 ? columns : groupWidth(scale, across, columns, groupSize);
    return { height: 1, width, perRow: across, shape: [of, across], numScales };
  }
  throw wrongShape(scale, entry === null ? blocks : [entry.of, ...blocks]);
}

/** One scale for all may be one for all experts too. */
const entryOf = ({ shape }: TensorInfo, { entry }: Located): Located['entry'] =>
  entry !== null && shape[0] === entry.of ? entry : null;

/** As numbers, and as codes where groups of these have a scale. `first`: number of the first scale of a row. */
function rowsOfFp8(
  grid: ScaledGrid,
  columns: number,
  first: (row: number) => number,
): Pick<Packing, 'decode' | 'coded'> {
  const { width, part } = grid;
  const decode = decodeFp8(grid, columns, first);
  if (!isWholeGroups(width, columns)) return { decode };
  const coded = codedRows('fp8', columns, ([codes, scaleBytes], from, out) => {
    const scales = part === null ? Float32Array.of(1) : scalesOf(scaleBytes!, part.tensor);
    const copy = copierOf(codes!, out);
    return {
      scaleOf: (row, column) => scales[first(from + row) + Math.floor(column / width)]!,
      putCodes: (row, column, end, at) => copy(row * columns + column, row * columns + end, at),
    };
  });
  return { decode, coded };
}

/** Null: every scale is 1. */
type ScaledGrid = Grid & { readonly part: PackedPart | null };

function decodeFp8({ width, part }: ScaledGrid, columns: number, first: (row: number) => number): DecodeRows {
  return ([codes, scaleBytes], from, numRows, out) => {
    const values = e4m3Values();
    const scales = part === null ? Float32Array.of(1) : scalesOf(scaleBytes!, part.tensor);
    const target = floatsIn(out);
    for (let row = 0; row < numRows; row++) {
      let block = first(from + row);
      for (let column = 0; column < columns; column += width, block++) {
        const scale = scales[block]!;
        const end = row * columns + Math.min(columns, column + width);
        for (let i = row * columns + column; i < end; i++) target[i] = values[codes![i]!]! * scale;
      }
    }
  };
}
