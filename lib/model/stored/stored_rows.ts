/** Rows of a stored matrix, made of what is read for them. */
import type { StoredDtype, StoredMatrix } from '../../../compute/base/stored_matrix.js';
import { weightRowBytes } from '../../../compute/base/weight_matrix.js';
import type { TensorPart } from '../../weights/tensor_part.js';
import type { DecodeRows, PackedPart } from './packing.js';
import { columnsOf, type Shape } from './format.js';
import type { SharedParts } from './shared_parts.js';

/** How rows of one type are made. */
export interface PackedRows {
  readonly dtype: StoredDtype;
  readonly parts: readonly PackedPart[];
  /** As of Packing. */
  readonly decode: DecodeRows | null;
}

/** What is read once for all rows is held until all rows were made, and then again when some are asked for once more. */
export class StoredRows implements StoredMatrix {
  readonly dtype: StoredDtype;
  readonly rows: number;
  readonly columns: number;
  readonly rowBytes: number;
  private readonly held = new Map<PackedPart, Promise<Uint8Array>>();
  private numMade = 0;

  constructor(
    private readonly shared: SharedParts,
    private readonly packing: PackedRows,
    shape: Shape,
    private readonly signal: AbortSignal | undefined,
  ) {
    const [rows] = shape;
    const columns = columnsOf(shape);
    this.dtype = packing.dtype;
    this.rows = rows;
    this.columns = columns;
    this.rowBytes = rowBytesOf(packing.dtype, columns);
  }

  /** @throws WeightError as the checkpoint's reads; the signal's reason */
  async readRows(from: number, target: Uint8Array): Promise<void> {
    const { packing, shared, signal, rowBytes } = this;
    const numRows = target.length / rowBytes;
    if (packing.decode === null) {
      await shared.checkpoint.readInto(packing.parts[0]!, from * rowBytes, target, { signal });
      return;
    }
    const parts = await Promise.all(packing.parts.map((part) => this.bytesOf(part, from, numRows)));
    packing.decode(parts, from, numRows, target);
    this.numMade += numRows;
    if (this.numMade < this.rows) return;
    this.numMade = 0;
    this.held.clear();
  }

  private bytesOf(part: PackedPart, from: number, numRows: number): Promise<Uint8Array> {
    const { rowBytes } = part;
    const { shared, signal } = this;
    if (rowBytes !== null) {
      const offset = part.offset + from * rowBytes;
      return shared.checkpoint.readPart({ tensor: part.tensor, offset, numBytes: numRows * rowBytes }, { signal });
    }
    const held = this.held.get(part) ?? shared.read(part, signal);
    this.held.set(part, held);
    return held;
  }
}

/** All rows at once; `onPart` is told what was read for them. */
export async function readAll(
  shared: SharedParts,
  { dtype, parts, decode }: PackedRows,
  shape: Shape,
  signal: AbortSignal | undefined,
  onPart: (part: TensorPart, bytes: Uint8Array) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  if (decode === null) {
    const bytes = await shared.checkpoint.readPart(parts[0]!, { signal });
    onPart(parts[0]!, bytes);
    return bytes;
  }
  const read = await Promise.all(
    parts.map((part) =>
      part.rowBytes === null ? shared.read(part, signal) : shared.checkpoint.readPart(part, { signal }),
    ),
  );
  for (const [i, part] of parts.entries()) onPart(part, read[i]!);
  const out = new Uint8Array(shape[0] * rowBytesOf(dtype, columnsOf(shape)));
  decode(read, 0, shape[0], out);
  return out;
}

const rowBytesOf = (dtype: StoredDtype, columns: number): number =>
  dtype === 'f16' ? 2 * columns : weightRowBytes(dtype, columns);
