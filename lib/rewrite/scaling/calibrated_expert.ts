/** One expert, its rows of a text, and what rounding makes of its outputs. Shape suffixes: N rows, H hidden, I intermediate. */
import { biasOf, expertPrefix } from '../../model/spec/tensor_names.js';
import type { ModelSpec } from '../../model/spec/spec.js';
import { notFinite } from '../quantise/not_finite.js';
import { scale } from '../quantise/scaling.js';
import type { WeightCoding } from '../quantise/weight_coding.js';
import type { RewriteSource } from '../source.js';
import type { ExpertRow } from './expert_rows.js';
import { activated, addBias, weightedSquares, type Products } from './expert_outputs.js';

/** What a search needs of a checkpoint and of what is made of it. */
export interface Roundings {
  readonly source: Pick<RewriteSource, 'spec'> & { readonly weights: Pick<RewriteSource['weights'], 'floats'> };
  readonly coding: WeightCoding;
  /** By our names: what is rounded. */
  readonly isTarget: (name: string) => boolean;
  readonly products: Products;
  readonly signal?: AbortSignal | undefined;
}

/** One of an expert's three. */
type Projection = 'gate_proj' | 'up_proj' | 'down_proj';

/** With its weights as they are stored; memory holds one at a time. */
export class CalibratedExpert {
  private constructor(
    private readonly roundings: Roundings,
    private readonly prefix: string,
    private readonly values: Readonly<Record<Projection, Float32Array>>,
    private readonly biases: Readonly<Record<Projection, Float32Array | null>>,
    private readonly x_NH: Float32Array,
    private readonly weights_N: Float64Array,
  ) {}

  /** @throws WeightError as the reads; the signal's reason */
  static async read(
    roundings: Roundings,
    layer: number,
    expert: number,
    rows: readonly ExpertRow[],
  ): Promise<CalibratedExpert> {
    const { spec, weights } = roundings.source;
    const prefix = expertPrefix(layer, expert);
    const read = async (part: Projection): Promise<[Projection, Float32Array, Float32Array | null]> => {
      const name = `${prefix}.${part}.weight`;
      const { signal } = roundings;
      const [numRows, columns] = shapeOf(spec, part);
      const bias = spec.moe.hasExpertBias ? await weights.floats(biasOf(name), [numRows], { signal }) : null;
      return [part, await weights.floats(name, [numRows, columns], { signal }), bias];
    };
    const parts = [await read('gate_proj'), await read('up_proj'), await read('down_proj')];
    const x_NH = new Float32Array(rows.length * spec.hiddenSize);
    rows.forEach(({ values }, n) => x_NH.set(values, n * spec.hiddenSize));
    return new CalibratedExpert(
      roundings,
      prefix,
      Object.fromEntries(parts.map(([part, values]) => [part, values])) as Record<Projection, Float32Array>,
      Object.fromEntries(parts.map(([part, , bias]) => [part, bias])) as Record<Projection, Float32Array | null>,
      x_NH,
      Float64Array.from(rows, ({ weight }) => weight),
    );
  }

  /** Whether one of its matrices is rounded. */
  rounds(part: Projection): boolean {
    return this.roundings.isTarget(`${this.prefix}.${part}.weight`);
  }

  /** Whether what up_proj is rounded to depends on the factors of its rows. */
  get sharesRows(): boolean {
    return this.roundings.coding.sharesRows;
  }

  /** [N·I] what goes into down_proj: of weights that are rounded with these factors; null: of unrounded ones. `rows`: [I] what rows of up_proj are divided by before they are rounded. */
  inner(inputs: Float32Array | null, rows: Float32Array | null = null): Float32Array {
    const gate_NI = this.through('gate_proj', this.x_NH, inputs);
    const up_NI = this.through('up_proj', this.x_NH, inputs, rows);
    return activated(gate_NI, up_NI, this.roundings.source.spec.moe.activation);
  }

  /** [N·H] of what goes into down_proj, by the same rule. */
  outputs(inner_NI: Float32Array, factors: Float32Array | null): Float32Array {
    return this.through('down_proj', inner_NI, factors);
  }

  /** Σ weight² · ‖y − other‖² over its rows. */
  squares(y_NH: Float32Array, other: Float32Array | null = null): number {
    return weightedSquares(y_NH, this.weights_N, other);
  }

  private through(
    part: Projection,
    x: Float32Array,
    factors: Float32Array | null,
    rows: Float32Array | null = null,
  ): Float32Array {
    const { coding, products } = this.roundings;
    const values = this.values[part];
    const [, columns] = this.shapeOf(part);
    if (factors === null || !this.rounds(part)) return addBias(products(x, values, columns), this.biases[part]);
    const scaled = values.slice();
    scale(scaled, columns, { columns: factors, rows: rows?.map((factor) => 1 / factor) });
    const divided = x.slice();
    scale(divided, columns, { columns: factors.map((factor) => 1 / factor) });
    const { resident } = coding;
    const matrix = resident === null ? this.rounded(part, scaled) : scaled;
    const y = products(divided, matrix, columns, resident ?? 'f32');
    if (rows !== null) scale(y, rows.length, { columns: rows });
    return addBias(y, this.biases[part]);
  }

  /** What a reader computes with. @throws RewriteError NOT_FINITE */
  private rounded(part: Projection, values: Float32Array): Float32Array {
    const { coding } = this.roundings;
    const [rows, columns] = this.shapeOf(part);
    const rounded = coding.round({ values, rows, columns });
    if (rounded === null) throw notFinite(`${this.prefix}.${part}`, coding);
    return rounded;
  }

  private shapeOf(part: Projection): readonly [number, number] {
    return shapeOf(this.roundings.source.spec, part);
  }
}

function shapeOf({ hiddenSize, moe }: ModelSpec, part: Projection): readonly [number, number] {
  return part === 'down_proj' ? [hiddenSize, moe.intermediateSize] : [moe.intermediateSize, hiddenSize];
}
