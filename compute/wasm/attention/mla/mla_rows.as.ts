/**
 * Cache rows of latent attention, a token's [latent | rotated key | indexer's key]. Of f32 each of the three is padded with zeros to a multiple of 4 floats. Of other element
 * types they lie side by side, as they do outside the cache; in int8 each is behind the word of its scale and minimum, or a rotated key that is narrow behind a byte.
 */
import { F32, INT8 } from '../../memory/memory.as';
import { roundUp4 } from '../lane.as';
import { MlaLayer, cacheWidth } from './mla_fields.as';
import { Part, blockAt, floats } from '../step.as';
import { StoredKeys, valueBytes, wordBytes } from '../stored_keys.as';
import { loadNarrowRow, loadRow, storeNarrowRow, storeRow } from '../stored_rows.as';

/** Of a token among a part's, or before them. */
export function rowAt(l: MlaLayer, part: Part, token: i32): usize {
  const inBlock = (part.position + token) % l.blockSize;
  return blockAt(part, token, l.blockSize) + l.cacheOffset + <usize>inBlock * rowBytes(l);
}

/** From row to row. */
export function rowBytes(l: MlaLayer): usize {
  return l.indexDim == 0 ? indexWordAt(l) : indexAt(l) + partBytes(l, l.indexDim);
}

function partBytes(l: MlaLayer, dim: i32): usize {
  return valueBytes(l.kvDtype, l.kvDtype == F32 ? roundUp4(dim) : dim);
}

function isNarrow(l: MlaLayer): bool {
  return l.kvDtype == INT8 && l.isNarrow != 0;
}

function rotatedWordAt(l: MlaLayer): usize {
  return wordBytes(l.kvDtype) + partBytes(l, l.kvLoraRank);
}

function rotatedAt(l: MlaLayer): usize {
  return rotatedWordAt(l) + (isNarrow(l) ? 1 : wordBytes(l.kvDtype));
}

/** Where the indexer's key begins, with its word. */
export function indexWordAt(l: MlaLayer): usize {
  return rotatedAt(l) + partBytes(l, l.ropeDim);
}

function indexAt(l: MlaLayer): usize {
  return indexWordAt(l) + wordBytes(l.kvDtype);
}

/** The floats [latent | rotated key] of a token, side by side, into its row. */
export function storeLatent(l: MlaLayer, from: usize, row: usize): void {
  const key = from + floats(l.kvLoraRank);
  storeRow(l.kvDtype, from, l.kvLoraRank, row + wordBytes(l.kvDtype), row);
  if (isNarrow(l)) storeNarrowRow(key, l.ropeDim, row + rotatedAt(l), row + rotatedWordAt(l));
  else storeRow(l.kvDtype, key, l.ropeDim, row + rotatedAt(l), row + rotatedWordAt(l));
}

/** The same for an indexer's key. */
export function storeIndexKey(l: MlaLayer, from: usize, row: usize): void {
  storeRow(l.kvDtype, from, l.indexDim, row + indexAt(l), row + indexWordAt(l));
}

/** The latent of a row, and zeros behind it up to `width` floats. */
export function loadLatent(l: MlaLayer, row: usize, to: usize, width: i32): void {
  loadRow(l.kvDtype, row + wordBytes(l.kvDtype), l.kvLoraRank, row, to);
  memory.fill(to + floats(l.kvLoraRank), 0, floats(width - l.kvLoraRank));
}

/** The same for the rotated key. */
export function loadRotated(l: MlaLayer, row: usize, to: usize, width: i32): void {
  if (isNarrow(l)) loadNarrowRow(row + rotatedAt(l), l.ropeDim, row + rotatedWordAt(l), to);
  else loadRow(l.kvDtype, row + rotatedAt(l), l.ropeDim, row + rotatedWordAt(l), to);
  memory.fill(to + floats(l.ropeDim), 0, floats(width - l.ropeDim));
}

/** Both, as wide as {@link cacheWidth}. */
export function loadBoth(l: MlaLayer, row: usize, to: usize): void {
  if (l.kvDtype == F32) memory.copy(to, row, floats(cacheWidth(l)));
  else {
    loadLatent(l, row, to, roundUp4(l.kvLoraRank));
    loadRotated(l, row, to + floats(roundUp4(l.kvLoraRank)), roundUp4(l.ropeDim));
  }
}

/** Writes `keys`: how attention takes latents and rotated keys out of rows that aren't of floats. */
export function describeKeys(l: MlaLayer, keys: StoredKeys): void {
  keys.firstDim = l.kvLoraRank;
  keys.restDim = l.ropeDim;
  keys.restWordAt = rotatedWordAt(l);
  keys.restAt = rotatedAt(l);
  keys.isNarrow = l.isNarrow;
}

/** The same for keys of the indexer, from {@link indexWordAt} on. */
export function describeIndexKeys(l: MlaLayer, keys: StoredKeys): void {
  keys.firstDim = l.indexDim;
  keys.restDim = 0;
}
