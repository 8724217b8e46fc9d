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

/** Less for rows that are more alike. Four rows of `b` at a time, so that those of `a` are read a fourth as often. */
function addRowProducts(cost: Float64Array, a: Float32Array, b: Float32Array, width: number, rows: number): void {
  for (let i = 0; i < rows; i++) {
    const own = a.subarray(i * width, (i + 1) * width);
    for (let j = 0; j < rows; j += 4) {
      const last = rows - 1;
      const [at1, at2, at3] = [
        Math.min(j + 1, last) * width,
        Math.min(j + 2, last) * width,
        Math.min(j + 3, last) * width,
      ];
      let [p0, p1, p2, p3] = [0, 0, 0, 0];
      for (let c = 0; c < width; c++) {
        const value = own[c]!;
        p0 += value * b[j * width + c]!;
        p1 += value * b[at1 + c]!;
        p2 += value * b[at2 + c]!;
        p3 += value * b[at3 + c]!;
      }
      const products = [p0, p1, p2, p3];
      for (let k = 0; k < Math.min(4, rows - j); k++) cost[i * rows + j + k]! -= products[k]!;
    }
  }
}

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c]!;
  return out;
}
