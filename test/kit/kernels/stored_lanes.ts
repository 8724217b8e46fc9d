/** Lanes of the attention kernel whose keys and values are the same rows, of other things than floats, in blocks all over a memory. */
import { Descriptor } from '../../../compute/wasm/memory/descriptor.js';
import { CACHE_FORMS, LANE, STORED_KEYS } from '../../../compute/wasm/memory/layouts.js';
import { KV_DTYPES } from '../../../compute/base/kv_dtype.js';
import { permutation } from '../../../experts/routing/random.js';
import { randomFrom, randomValues } from '../../refs/random.js';
import { storedRowRef } from '../../refs/stored_row_ref.js';
import type { LaneCase } from './kernel_lanes.js';
import type { KernelValues } from './kernel_values.js';

const roundUp4 = (n: number): number => 4 * Math.ceil(n / 4);

/** What a row is. */
export interface StoredRows {
  readonly dtype: 'bf16' | 'int8';
  readonly firstDim: number;
  readonly restDim: number;
  /** Whether the rest is a narrow row. */
  readonly isNarrow: boolean;
  readonly blockSize: number;
  readonly seed: number;
}

/** Floats of a key, each part padded. */
export const keyWidth = ({ firstDim, restDim }: StoredRows): number => roundUp4(firstDim) + roundUp4(restDim);

/** Whether a channel of a key is behind those of its part. */
export const isPadding = ({ firstDim, restDim }: StoredRows, channel: number): boolean =>
  (channel >= firstDim && channel < roundUp4(firstDim)) || channel >= roundUp4(firstDim) + restDim;

/** Random rows [first | rest], one per key. */
export function randomRows({ firstDim, restDim, seed }: StoredRows, numKeys: number): Float32Array[] {
  const random = randomFrom(seed);
  return Array.from({ length: numKeys }, () => randomValues(random, firstDim + restDim, 2));
}

/** The keys and values that a lane of floats has, which is to attend as the stored one does. */
export function loadedRef(stored: StoredRows, rows: readonly Float32Array[]): Pick<LaneCase, 'keys' | 'values'> {
  const { dtype, firstDim, isNarrow } = stored;
  const parts = rows.map((row) => {
    const [first, rest] = [row.subarray(0, firstDim), row.subarray(firstDim)];
    return { first: storedRowRef(dtype, first), rest: rest.length === 0 ? [] : storedRowRef(dtype, rest, isNarrow) };
  });
  const padded = (values: readonly number[]): number[] =>
    Array.from({ length: roundUp4(values.length) }, (_, i) => values[i] ?? 0);
  return {
    keys: Float32Array.from(parts.flatMap(({ first, rest }) => [...padded(first), ...padded(rest)])),
    values: Float32Array.from(parts.flatMap(({ first }) => first)),
  };
}

/** [token][head][firstDim] of a lane whose own keys and values aren't looked at; `stale`: bytes where no row is. */
export function runStoredLane(
  place: KernelValues,
  lane: LaneCase,
  stored: StoredRows,
  rows: readonly Float32Array[],
  stale: number,
): Float32Array {
  const { memory } = place;
  const { position, numTokens, numHeads, window, softmaxScale } = lane;
  const { firstDim, restDim, blockSize, seed } = stored;
  const isNarrow = stored.dtype === 'int8' && stored.isNarrow;
  const [dtype, wordBytes] = [KV_DTYPES.indexOf(stored.dtype), stored.dtype === 'int8' ? 4 : 0];
  const valueBytes = stored.dtype === 'int8' ? 1 : 2;
  const restWordAt = wordBytes + firstDim * valueBytes;
  const restAt = restWordAt + (isNarrow ? 1 : wordBytes);
  // A byte between rows: none begins at a multiple of anything.
  const keyBytes = restAt + restDim * valueBytes + 1;
  const blockBytes = 3 + blockSize * keyBytes;
  const numBlocks = Math.ceil(rows.length / blockSize);
  const start = place.bytes(numBlocks * blockBytes);
  memory.bytes(start, numBlocks * blockBytes).fill(stale);
  const blocks = permutation(numBlocks, randomFrom(seed)).map((block) => start + block * blockBytes);
  rows.forEach((row, key) => {
    const at = blocks[Math.floor(key / blockSize)]! + 3 + (key % blockSize) * keyBytes;
    const from = place.floats(row);
    const rest = from + 4 * firstDim;
    memory.kernels.storeRow(dtype, from, firstDim, at + wordBytes, at);
    if (restDim === 0) return;
    if (isNarrow) memory.kernels.storeNarrowRow(rest, restDim, at + restAt, at + restWordAt);
    else memory.kernels.storeRow(dtype, rest, restDim, at + restAt, at + restWordAt);
  });
  const keys = new Descriptor(memory, STORED_KEYS, {
    firstDim,
    restDim,
    restWordAt,
    restAt,
    isNarrow: Number(isNarrow),
  });
  const width = keyWidth(stored);
  const out = place.floats(numTokens * numHeads * firstDim);
  const fields = {
    ...{ position, numTokens, numHeads, window, softmaxScale, width, blockSize, sinks: 0 },
    ...{ valueWidth: roundUp4(firstDim), valueDim: firstDim, dtype, storedKeys: keys.address },
    queries: place.floats(lane.queries),
    ...{ queryTokenBytes: 4 * numHeads * width, queryHeadBytes: 4 * width },
    blocks: place.words(blocks),
    form: CACHE_FORMS.indexOf('rows'),
    ...{ keyOffset: 3, keyBytes, valueOffset: 3, valueBytes: keyBytes },
    ...{ out, outTokenBytes: 4 * numHeads * firstDim, outHeadBytes: 4 * firstDim, scratch: 0 },
  };
  const descriptor = new Descriptor(memory, LANE, fields);
  descriptor.set({ scratch: place.floats(memory.kernels.attendBytes(descriptor.address) / 4) });
  memory.kernels.attend(descriptor.address);
  for (const each of [descriptor, keys]) each.dispose();
  return place.readRows(out, numTokens * numHeads, firstDim, firstDim);
}
