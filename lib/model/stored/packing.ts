/** How the rows of a matrix come from bytes of a checkpoint: what every format is turned into. */
import type { CodedDtype } from '../../../compute/base/weight_matrix.js';
import type { TensorPart } from '../../weights/tensor_part.js';

/** A matrix as it is stored. A vector is a matrix with one column. */
export interface Packing {
  /** Of the rows that are made. */
  readonly dtype: PlainDtype;
  readonly parts: readonly PackedPart[];
  /** Null: there is one part, and its bytes are the rows. */
  readonly decode: DecodeRows | null;
  /** Makes rows of codes and scales instead, which stand for the same values to the bit. Where it is left out, none of the coded types can. */
  readonly coded?: { readonly dtype: CodedDtype; readonly decode: DecodeRows } | undefined;
}

/** Values that are numbers by themselves. */
export type PlainDtype = 'f32' | 'bf16' | 'f16';

/** Bytes that rows are made of. */
export interface PackedPart extends TensorPart {
  /** Of each row, one behind the other; null: rows share the part's bytes, which are read once. */
  readonly rowBytes: number | null;
}

/**
 * Makes rows `from` … `from + numRows` − 1, little-endian, one behind the other.
 *
 * @param parts of a part with rows of its own, the bytes of these rows; of any other, all its bytes. They begin at a multiple of 8 of their buffers
 */
export type DecodeRows = (parts: readonly Uint8Array[], from: number, numRows: number, out: Uint8Array) => void;
