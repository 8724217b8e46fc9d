/** Stored weights into kernel memories: pieces are read into areas of the memory itself, and laid into panels there while the next ones are read. Why: docs/decisions/memory.md#weights-are-read-into-kernel-memory */
import type { StoredMatrix } from '../../base/stored_matrix.js';
import { GrowingBlock } from './growing_block.js';
import { KernelMatrix } from './kernel_matrix.js';
import type { KernelMemory } from './kernel_memory.js';
import { PANEL, type ResidentDtype } from './resident_dtype.js';

/** Rows of a stored matrix, and where they go. */
export interface RowRange {
  /** First row of the stored matrix. */
  readonly from: number;
  /** First row of the resident one. */
  readonly to: number;
  readonly numRows: number;
}

/** Bytes of a piece, unless a row has more: large enough that a read costs little beside its bytes, small enough to stay in a cache until it is laid out. */
const PIECE_BYTES = 2 ** 20;
/** Pieces of a memory that are on their way at once: one is laid out while others are read. */
const NUM_AREAS = 3;

/** Loads matrices, any number at once, with a few areas in each memory. */
export class WeightLoader {
  private readonly areas = new Map<KernelMemory, Areas>();
  private failure: { readonly error: unknown } | null = null;

  /** @param endsWithFailure - all that it loads is of one model: after a failure it loads nothing more. Default true */
  constructor(private readonly endsWithFailure = true) {}

  /**
   * Rows of `matrix` become those that are stored, as {@link KernelMatrix.set} would make them. Resolves or rejects when no read is under way any more.
   *
   * @param ranges which rows go where. Default: all, in their order
   * @throws ExpertError NOT_FINITE, OUT_OF_MEMORY; what reading does
   */
  async fill(
    matrix: KernelMatrix,
    stored: StoredMatrix,
    ranges: readonly RowRange[] = [{ from: 0, to: 0, numRows: stored.rows }],
  ): Promise<void> {
    const areas = this.areasOf(matrix.memory);
    const pieces = ranges.flatMap((range) => [...piecesOf(range, stored.rowBytes)]);
    await allSettled(pieces.map((piece) => areas.use((area) => this.load(matrix, stored, piece, area))));
  }

  /** A new matrix of stored weights. @throws ExpertError as its constructor and {@link fill}; then nothing is kept */
  async matrix(memory: KernelMemory, stored: StoredMatrix, dtype: ResidentDtype): Promise<KernelMatrix> {
    const matrix = new KernelMatrix(memory, stored.rows, stored.columns, dtype);
    try {
      await this.fill(matrix, stored);
      return matrix;
    } catch (error) {
      matrix.dispose();
      throw error;
    }
  }

  /** Gives the areas back. Not before every {@link fill} is done. */
  close(): void {
    for (const areas of this.areas.values()) areas.dispose();
    this.areas.clear();
  }

  private async load(matrix: KernelMatrix, stored: StoredMatrix, piece: RowRange, area: GrowingBlock): Promise<void> {
    if (this.failure !== null) throw this.failure.error;
    const { from, to, numRows } = piece;
    const { dtype, rowBytes } = stored;
    const place = matrix.placeOf(dtype, to, numRows);
    try {
      const buffer = area.reserve(rowBytes * (place === null ? numRows : PANEL));
      const address = place ?? buffer;
      await stored.readRows(from, matrix.memory.bytes(address, numRows * rowBytes));
      if (place === null) matrix.setStored(dtype, address, numRows, to);
      else matrix.setInPlace(numRows, to, buffer);
    } catch (error) {
      if (this.endsWithFailure) this.failure ??= { error };
      throw error;
    }
  }

  private areasOf(memory: KernelMemory): Areas {
    const areas = this.areas.get(memory) ?? new Areas(memory);
    this.areas.set(memory, areas);
    return areas;
  }
}

/** The areas of one memory, handed out in the order in which they are asked for. */
class Areas {
  private readonly all: readonly GrowingBlock[];
  private readonly free: GrowingBlock[];
  private readonly waiting: ((area: GrowingBlock) => void)[] = [];

  constructor(memory: KernelMemory) {
    this.all = Array.from({ length: NUM_AREAS }, () => new GrowingBlock(memory));
    this.free = [...this.all];
  }

  async use(work: (area: GrowingBlock) => Promise<void>): Promise<void> {
    const area = this.free.pop() ?? (await new Promise<GrowingBlock>((resolve) => this.waiting.push(resolve)));
    try {
      await work(area);
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free.push(area);
      else next(area);
    }
  }

  dispose(): void {
    for (const area of this.all) area.dispose();
  }
}

/** Whole panels where a piece has several, so that each is written once. */
function* piecesOf({ from, to, numRows }: RowRange, rowBytes: number): Generator<RowRange> {
  const most = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
  const rows = most > PANEL ? most - (most % PANEL) : most;
  for (let row = 0; row < numRows; row += rows)
    yield { from: from + row, to: to + row, numRows: Math.min(rows, numRows - row) };
}

/** As Promise.all, but not before all have ended. */
export async function allSettled<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(promises);
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}
