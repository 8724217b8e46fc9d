/** Where a sequence's tokens are: its table names the block of each. Pure. */
import { InternalError } from '../../../base/coded_error.js';
import type { BlockTable } from './decoder.js';

/** Tokens of a sequence that follow each other in one block. */
export interface TokenRun {
  readonly block: number;
  /** Of the block's tokens, the first. */
  readonly start: number;
  readonly count: number;
  /** So many of the tokens that are asked for lie before it. */
  readonly before: number;
}

/** Where tokens `from` … `to` − 1 are. @throws InternalError for a table that is too short or an id that is not a whole number from 0 */
export function tokenRuns(table: BlockTable, blockSize: number, from: number, to: number): TokenRun[] {
  const runs: TokenRun[] = [];
  for (let at = from; at < to;) {
    const start = at % blockSize;
    const count = Math.min(blockSize - start, to - at);
    runs.push({ block: blockAt(table, Math.floor(at / blockSize)), start, count, before: at - from });
    at += count;
  }
  return runs;
}

/** @throws InternalError for a table that is too short or an id that is not a whole number from 0 */
export function blockAt(table: BlockTable, index: number): number {
  const id = table[index];
  if (id === undefined) {
    throw new InternalError(`block ${index} of a sequence with ${table.length} blocks`);
  }
  if (!Number.isSafeInteger(id) || id < 0) {
    throw new InternalError(`block ${index} of a sequence has the id ${JSON.stringify(id)}`);
  }
  return id;
}

/** So many tokens' rows. @throws InternalError where they aren't whole ones' */
export function tokensIn(rows: Uint8Array, tokenBytes: number): number {
  const numTokens = rows.length / tokenBytes;
  if (Number.isInteger(numTokens)) return numTokens;
  throw new InternalError(`${rows.length} bytes of rows, and a token takes ${tokenBytes}`);
}
