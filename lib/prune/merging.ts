/** Reads experts that become one, and writes what comes of them as the checkpoint has them: one by one or in one tensor, either way round. */
import { printable } from '../../base/foreign_text.js';
import { placesOf, type Lines } from '../model/stored/located.js';
import { moeLayersOf, type ModelSpec } from '../model/spec/spec.js';
import { expertPrefix } from '../model/spec/tensor_names.js';
import { expertShapes } from '../model/spec/tensor_shapes.js';
import type { ModelWeights } from '../model/stored/model_weights.js';
import type { TensorSource } from '../weights/checkpoint_writer.js';
import { isSupportedDtype, DTYPE_BITS, type SupportedDtype } from '../weights/dtypes.js';
import { WeightError } from '../weights/errors.js';
import { bytesOfFloats } from '../weights/float_bytes.js';
import type { TensorInfo } from '../weights/safetensors_header.js';
import type { MergeGroup } from './merge_groups.js';
import { addExpert, alignment, type ExpertValues } from './merged_expert.js';

/** A matrix or bias of an expert within what one tensor holds of it. */
interface Piece {
  /** Behind the expert's prefix. */
  readonly part: string;
  readonly lines: Lines;
}

/** Makes the tensors of merged experts. `groups`: of each MoE layer, one for each expert that is kept. */
export class Merging {
  private readonly layers: readonly number[];
  /** The one that was made last: its tensors lie next to each other, or it is an entry of one. */
  private last: { readonly key: string; readonly values: ExpertValues } | null = null;

  constructor(
    private readonly weights: ModelWeights,
    private readonly spec: ModelSpec,
    private readonly groups: readonly (readonly MergeGroup[])[],
  ) {
    this.layers = moeLayersOf(spec);
  }

  /** A tensor of one expert. @param at of the kept ones @throws WeightError UNKNOWN_DTYPE where it isn't of plain numbers */
  own(tensor: TensorInfo, name: string, moeLayer: number, at: number): TensorSource {
    const pieces = this.piecesOf(tensor, moeLayer, this.groups[moeLayer]![at]!.experts[0]!);
    return this.tensor(tensor, name, tensor.shape, moeLayer, [at], pieces);
  }

  /** One of all experts of a layer; null: it is none of what experts are made of. @throws WeightError as {@link own} */
  all(tensor: TensorInfo, moeLayer: number): TensorSource | null {
    const pieces = this.piecesOf(tensor, moeLayer, 0);
    if (pieces.length === 0) return null;
    const entries = [...this.groups[moeLayer]!.keys()];
    const shape = [entries.length, ...tensor.shape.slice(1)];
    return this.tensor(tensor, tensor.name, shape, moeLayer, entries, pieces);
  }

  private tensor(
    { dtype, file, name: stored }: TensorInfo,
    name: string,
    shape: readonly number[],
    moeLayer: number,
    entries: readonly number[],
    pieces: readonly Piece[],
  ): TensorSource {
    if (!isSupportedDtype(dtype) || pieces.length === 0) throw notPlain(stored, file, dtype);
    const numBytes = (shape.reduce((product, size) => product * size, 1) * DTYPE_BITS.get(dtype)!) / 8 / entries.length;
    let made: { readonly entry: number; readonly bytes: Uint8Array } | null = null;
    const fill = async (out: Uint8Array, first: number): Promise<void> => {
      for (let at = 0; at < out.length;) {
        const entry = entries[Math.floor((first + at) / numBytes)]!;
        if (made?.entry !== entry) made = { entry, bytes: bytesOf(await this.expert(moeLayer, entry), pieces, dtype) };
        const from = (first + at) % numBytes;
        const part = made.bytes.subarray(from, from + out.length - at);
        out.set(part, at);
        at += part.length;
      }
    };
    return { name, dtype, shape, fill };
  }

  /** Which of an expert's matrices and biases a tensor holds, and where. */
  private piecesOf(tensor: TensorInfo, moeLayer: number, expert: number): Piece[] {
    const { moe, hiddenSize } = this.spec;
    const prefix = expertPrefix(this.layers[moeLayer]!, expert);
    return [...expertShapes(moe, hiddenSize, this.layers[moeLayer]!, expert)].flatMap(({ name, shape }) => {
      const place = [...placesOf(this.spec, name, shape[0]!)].find(({ base, ending }) => base + ending === tensor.name);
      return place === undefined ? [] : [{ part: name.slice(prefix.length + 1), lines: place.lines }];
    });
  }

  private async expert(moeLayer: number, at: number): Promise<ExpertValues> {
    const key = `${moeLayer} ${at}`;
    if (this.last?.key !== key) this.last = { key, values: await this.merged(moeLayer, this.groups[moeLayer]![at]!) };
    return this.last.values;
  }

  private async merged(moeLayer: number, { experts, weights }: MergeGroup): Promise<ExpertValues> {
    const { hiddenSize: hidden, moe } = this.spec;
    const shape = { hidden, intermediate: moe.intermediateSize };
    const own = await this.read(moeLayer, experts[0]!);
    const sum = Object.fromEntries(Object.entries(own).map(([part, { length }]) => [part, new Float64Array(length)]));
    for (const [i, expert] of experts.entries()) {
      if (weights[i] === 0) continue;
      const values = i === 0 ? own : await this.read(moeLayer, expert);
      addExpert(sum, values, weights[i]!, i === 0 ? null : alignment(own, values, shape), shape);
    }
    return Object.fromEntries(Object.entries(sum).map(([part, values]) => [part, Float32Array.from(values)]));
  }

  private async read(moeLayer: number, expert: number): Promise<ExpertValues> {
    const { moe, hiddenSize } = this.spec;
    const layer = this.layers[moeLayer]!;
    const prefix = expertPrefix(layer, expert);
    const parts: [string, Float32Array][] = [];
    for (const { name, shape } of expertShapes(moe, hiddenSize, layer, expert)) {
      parts.push([name.slice(prefix.length + 1), await this.weights.floats(name, shape as [number, ...number[]])]);
    }
    return Object.fromEntries(parts);
  }
}

/** What a tensor holds of an expert. */
function bytesOf(values: ExpertValues, pieces: readonly Piece[], dtype: SupportedDtype): Uint8Array {
  const numValues = pieces.reduce((sum, { part }) => sum + values[part]!.length, 0);
  const all = new Float32Array(numValues);
  for (const { part, lines } of pieces) {
    const { axis, first, step, of } = lines;
    const own = values[part]!;
    const rows = pieces.length === 1 ? of : of / pieces.length;
    const columns = own.length / rows;
    for (let r = 0; r < rows; r++) {
      const line = first + r * step;
      for (let c = 0; c < columns; c++) all[axis === 0 ? line * columns + c : c * of + line] = own[r * columns + c]!;
    }
  }
  return bytesOfFloats(all, dtype);
}

function notPlain(name: string, file: string, dtype: string): WeightError {
  const text = `tensor "${printable(name)}" of ${file} is ${dtype}: codes can't be summed; merge the checkpoint before it is quantised, or leave --merge out`;
  return new WeightError('UNKNOWN_DTYPE', text, { file, tensor: name });
}
