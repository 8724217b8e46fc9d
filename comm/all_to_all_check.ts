/** The arguments of an all-to-all, checked before anything is sent. Every function throws INVALID_ARGUMENT with both numbers. */
import type { DispatchRequest } from './all_to_all_contract.js';
import { checkTimeout } from './deadline.js';
import { CommError } from './errors.js';
import { checkTag } from './frame.js';
import type { PayloadShape, Reduce } from './payload.js';

/** Slots travel as 16-bit integers. */
const MAX_SLOTS = 0x7fff;
const MAX_TOPK = 0xffff;
const MAX_HIDDEN = 0xffffff;

/** The options of `createAllToAll` with their defaults. */
export function checkOptions(options: PayloadShape & { readonly timeoutMs: number }): void {
  checkCount('hidden', options.hidden, MAX_HIDDEN);
  checkCount('numTopk', options.numTopk, MAX_TOPK);
  checkCount('slotsPerRank', options.slotsPerRank, MAX_SLOTS);
  const reduce: string = options.reduce;
  if (reduce !== 'rank' && reduce !== 'source') throw invalid(`reduce is ${reduce}; pass 'rank' or 'source'`);
  checkTimeout(options.timeoutMs);
}

/** The lengths agree on one number of tokens, and the tag fits its fields. */
export function checkRequest({ x, topkIdx, topkWeights, tag }: DispatchRequest, shape: PayloadShape): void {
  const { hidden, numTopk } = shape;
  checkTag(tag);
  if (x.length % hidden !== 0) throw invalid(`x has ${x.length} numbers; pass a multiple of hidden ${hidden}`);
  const numTokens = x.length / hidden;
  const numChoices = numTokens * numTopk;
  if (topkIdx.length !== numChoices) {
    throw invalid(
      `topkIdx has ${topkIdx.length} entries; pass ${numTokens} tokens × numTopk ${numTopk} = ${numChoices}`,
    );
  }
  if (topkWeights.length !== numChoices) {
    throw invalid(`topkWeights has ${topkWeights.length} entries; pass one per entry of topkIdx, ${numChoices}`);
  }
}

/** One row per received row ('rank') or per received choice ('source'). */
export function checkExpertOut(
  expertOut: Float32Array,
  numOwed: readonly number[],
  hidden: number,
  reduce: Reduce,
): void {
  const numRows = numOwed.reduce((sum, count) => sum + count, 0);
  if (expertOut.length === numRows * hidden) return;
  const what = reduce === 'rank' ? 'received rows' : 'received choices';
  throw invalid(`expertOut has ${expertOut.length} numbers; pass ${numRows} ${what} × hidden ${hidden}`);
}

function checkCount(name: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= max) return;
  throw invalid(`${name} is ${value}; pass an integer from 1 to ${max}`);
}

const invalid = (message: string): CommError => new CommError('INVALID_ARGUMENT', message);
