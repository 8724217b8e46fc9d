/** Weights that are not in memory yet: whoever lays them out has their rows read to where it wants them. */
import { weightRowBytes, type WeightDtype, type WeightMatrix } from './weight_matrix.js';

/** Element types of rows that are read. f16 is kept as something else. */
export type StoredDtype = WeightDtype | 'f16';

/** A linear layer's weights [rows = outputs, columns = inputs] somewhere else. */
export interface StoredMatrix {
  readonly dtype: StoredDtype;
  readonly rows: number;
  readonly columns: number;
  /** Bytes of a row; rows lie one behind the other. */
  readonly rowBytes: number;
  /** Fills `target`, which may be shared memory, with whole rows from row `from` on. Several reads may run at once. @throws what the source does */
  readRows(from: number, target: Uint8Array): Promise<void>;
}

/** The three matrices of a SwiGLU network. Shape suffixes as of FfnWeights. */
export interface StoredFfn {
  /** [I,H] */
  readonly gate: StoredMatrix;
  /** [I,H] */
  readonly up: StoredMatrix;
  /** [H,I] */
  readonly down: StoredMatrix;
  /** Reads the biases, as FfnWeights has them. Default: there are none. */
  readonly biases?: (() => Promise<Float32Array>) | undefined;
}

/** A matrix that is in memory, as one that is read. */
export function storedOf({ dtype, rows, columns, bytes }: WeightMatrix): StoredMatrix {
  const rowBytes = weightRowBytes(dtype, columns);
  return {
    ...{ dtype, rows, columns, rowBytes },
    readRows: (from, target) => {
      target.set(bytes.subarray(from * rowBytes, from * rowBytes + target.length));
      return Promise.resolve();
    },
  };
}
