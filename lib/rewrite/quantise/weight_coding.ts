/** What a format of few bits makes of a matrix: pure, and the same for every matrix of a checkpoint. */
import type { RoundedType } from '../../../compute/base/code_rounding.js';
import type { TensorHead } from '../new_tensors.js';

/** A matrix [rows, columns] of float32, in the order of its rows. */
export interface FloatMatrix {
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
}

/** A matrix as it will be stored. */
export interface EncodedMatrix {
  /** In the order of {@link WeightCoding.heads}. */
  readonly bytes: readonly Uint8Array[];
  /** What readers make of it. */
  readonly decoded: Float32Array;
}

/** One format. */
export interface WeightCoding {
  /** For people. */
  readonly label: string;
  /** The number of columns of a matrix must be a multiple of it. Usually as many columns as share a scale; 1: any number will do. */
  readonly columnStep: number;
  /** `quantization_config` of config.json; null where weights stay numbers. `left`: modules that stay as they are, by name or `re:`. */
  config(left: readonly string[]): object | null;
  /** Whether that may say `re:` before a regular expression. */
  readonly takesExpressions: boolean;
  /** Whether rows share scales, so that what one is rounded to depends on how large those beside it are. */
  readonly sharesRows: boolean;
  /** The tensors that a module's weight becomes. */
  heads(module: string, rows: number, columns: number): TensorHead[];
  /** The type in memory that numbers are rounded to by the same rule; null: none is. */
  readonly resident: RoundedType | null;
  /** What a reader of these tensors would compute with; null: some value has no code. */
  round(matrix: FloatMatrix): Float32Array | null;
  /** Null: some value has no code. */
  encode(matrix: FloatMatrix): EncodedMatrix | null;
}
