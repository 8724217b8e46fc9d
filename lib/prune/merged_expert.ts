/** One expert made of several. Pure. Shape suffixes: H hidden, I intermediate. Why: docs/decisions/pruning.md#merging-sums-aligned-neurons */
import { assignment } from './assignment.js';

/** Weights of one expert by what tensors are called behind its prefix: `gate_proj.weight` [I, H], `up_proj.weight` [I, H], `down_proj.weight` [H, I], and biases where it has some. */
export type ExpertValues = Readonly<Record<string, Float32Array>>;

/** What an expert is made of. */
export interface ExpertShape {
  readonly hidden: number;
  readonly intermediate: number;
}

/** Neuron by neuron, which of `other`'s is most like that of `own`, each taken once: the sum of products of their weights is the largest there is. */
export function alignment(own: ExpertValues, other: ExpertValues, { hidden, intermediate }: ExpertShape): Int32Array {
  const cost = new Float64Array(intermediate ** 2);
  for (const name of ['gate_proj.weight', 'up_proj.weight']) {
    addRowProducts(cost, own[name]!, other[name]!, hidden, intermediate);
  }
  const [a, b] = [own, other].map((expert) => transposed(expert['down_proj.weight']!, hidden, intermediate));
  addRowProducts(cost, a!, b!, hidden, intermediate);
  return assignment(cost, intermediate);
}

/** Adds the weighted neurons of an expert to a sum, in the order that {@link alignment} gave; null: as they lie. */
export function addExpert(
  sum: Readonly<Record<string, Float64Array>>,
  expert: ExpertValues,
  weight: number,
  order: Int32Array | null,
  { hidden, intermediate }: ExpertShape,
): void {
  for (const [name, values] of Object.entries(expert)) {
    const out = sum[name]!;
    if (name === 'down_proj.weight') {
      for (let h = 0; h < hidden; h++) {
        for (let i = 0; i < intermediate; i++) {
          out[h * intermediate + i]! += weight * values[h * intermediate + (order?.[i] ?? i)]!;
        }
      }
    } else if (name === 'down_proj.bias') {
      for (let h = 0; h < hidden; h++) out[h]! += weight * values[h]!;
    } else {
      const width = values.length / intermediate;
      for (let i = 0; i < intermediate; i++) {
        const from = (order?.[i] ?? i) * width;
        for (let j = 0; j < width; j++) out[i * width + j]! += weight * values[from + j]!;
      }
    }
  }
}

/** Less for rows that are more alike. */
function addRowProducts(cost: Float64Array, a: Float32Array, b: Float32Array, width: number, rows: number): void {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < rows; j++) {
      let product = 0;
      for (let c = 0; c < width; c++) product += a[i * width + c]! * b[j * width + c]!;
      cost[i * rows + j]! -= product;
    }
  }
}

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c]!;
  return out;
}
