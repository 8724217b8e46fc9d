/** The arguments of an all-to-all, checked before anything is sent. An error tells both numbers. */
import type { CachedRequest, RoutedRequest, Topology } from './all_to_all_contract.js';
import { checkTimeout } from '../../base/deadline.js';
import { CommError } from '../../base/errors.js';
import type { OnPeerLoss } from '../exchange/exchange.js';
import { checkTag } from '../../mesh/frame.js';
import type { FloatRows } from '../../../base/float_rows.js';
import type { Rank } from '../../../base/ids.js';
import type { Reduce } from '../../../base/received_rows.js';
import type { PayloadShape } from './payload.js';

/** Slots travel as 16-bit integers. */
const MAX_SLOTS = 0x7fff;
const MAX_TOPK = 0xffff;
const MAX_HIDDEN = 0xffffff;

/** What both modes are made with. @throws CommError INVALID_ARGUMENT for a size that can't be. */
export function checkShape(shape: Pick<PayloadShape, 'hidden' | 'numTopk' | 'slotsPerRank'>): void {
  checkCount('hidden', shape.hidden, MAX_HIDDEN);
  checkCount('numTopk', shape.numTopk, MAX_TOPK);
  checkCount('slotsPerRank', shape.slotsPerRank, MAX_SLOTS);
}

/** How long a call waits, and what a lost peer does to it. @throws CommError INVALID_ARGUMENT when either can't be. */
export function checkExchange({ timeoutMs, onPeerLoss }: { timeoutMs: number; onPeerLoss: OnPeerLoss }): void {
  checkTimeout(timeoutMs);
  checkChoice('onPeerLoss', onPeerLoss, ['fail', 'mask']);
}

/** What only the normal mode has. @throws CommError INVALID_ARGUMENT for what can't be, or not on `size` ranks. */
export function checkNormal(
  { reduce, expertAlignment, topology }: { reduce: Reduce; expertAlignment: number; topology: Topology },
  slotsPerRank: number,
  size: number,
): void {
  checkChoice('reduce', reduce, ['rank', 'source']);
  checkCount('expertAlignment', expertAlignment, 0x7fffffff);
  checkChoice('topology.route', topology.route, ['flat', 'hierarchical']);
  checkCount('topology.ranksPerNode', topology.ranksPerNode, size);
  if (size % topology.ranksPerNode !== 0) {
    throw invalid(`topology.ranksPerNode is ${topology.ranksPerNode} for ${size} ranks; pass a divisor of ${size}`);
  }
  if (topology.route === 'hierarchical' && topology.ranksPerNode * slotsPerRank > MAX_SLOTS) {
    throw invalid(
      `a node has ${topology.ranksPerNode} × ${slotsPerRank} slots, ${MAX_SLOTS} allowed; use route: 'flat'`,
    );
  }
}

/** @throws CommError INVALID_ARGUMENT unless the lengths agree on one number of tokens and the tag fits its fields. */
export function checkRequest(request: RoutedRequest, shape: TokenShape): void {
  const numTokens = checkTokens(request, shape);
  checkWeights(request.topkWeights, numTokens * shape.numTopk);
}

type TokenShape = Pick<PayloadShape, 'hidden' | 'numTopk'>;

/** The number of tokens. @throws CommError INVALID_ARGUMENT as `checkRequest`, which checks the weights too. */
export function checkTokens(
  { x, topkIdx, tag }: Pick<RoutedRequest, 'x' | 'topkIdx' | 'tag'>,
  { hidden, numTopk }: TokenShape,
): number {
  checkTag(tag);
  const numTokens = numRowsOf('x', x, hidden);
  const numChoices = numTokens * numTopk;
  if (topkIdx.length !== numChoices) {
    throw invalid(
      `topkIdx has ${topkIdx.length} entries; pass ${numTokens} tokens × numTopk ${numTopk} = ${numChoices}`,
    );
  }
  return numTokens;
}

/** How many rows an array or somebody's memory has. @throws CommError INVALID_ARGUMENT when they aren't `hidden` wide */
export function numRowsOf(name: string, x: Float32Array | FloatRows, hidden: number): number {
  if (!(x instanceof Float32Array)) {
    if (x.hidden === hidden && x.stride >= hidden) return x.numRows;
    throw invalid(`${name} has rows of ${x.hidden} numbers, ${x.stride} apart; pass rows of hidden ${hidden}`);
  }
  if (x.length % hidden !== 0) throw invalid(`${name} has ${x.length} numbers; pass a multiple of hidden ${hidden}`);
  return x.length / hidden;
}

/** @throws CommError INVALID_ARGUMENT unless `target` has room for so many rows. */
export function checkTarget(name: string, target: FloatRows, numRows: number, hidden: number): void {
  const room = numRowsOf(name, target, hidden);
  if (room < numRows) throw invalid(`${name} has ${room} rows; pass room for ${numRows}`);
}

/** One weight per choice. @throws CommError INVALID_ARGUMENT with both lengths. */
export function checkWeights(topkWeights: Float32Array, numChoices: number): void {
  if (topkWeights.length === numChoices) return;
  throw invalid(`topkWeights has ${topkWeights.length} entries; pass one per entry of topkIdx, ${numChoices}`);
}

/** @throws CommError INVALID_ARGUMENT unless there are as many tokens as in the dispatch that made the handle. */
export function checkCachedRequest({ x, tag }: CachedRequest, numTokens: number, hidden: number): void {
  checkTag(tag);
  if (x instanceof Float32Array) {
    if (x.length === numTokens * hidden) return;
    throw invalid(`x has ${x.length} numbers; the handle is of ${numTokens} tokens × hidden ${hidden}`);
  }
  const numRows = numRowsOf('x', x, hidden);
  if (numRows !== numTokens) throw invalid(`x has ${numRows} rows; the handle is of ${numTokens} tokens`);
}

/** @throws CommError INVALID_ARGUMENT unless there is one row per received row ('rank') or per received choice ('source'). */
export function checkExpertOut(
  expertOut: Float32Array | FloatRows,
  numOwed: readonly number[],
  hidden: number,
  reduce: Reduce,
): void {
  const numRows = numOwed.reduce((sum, count) => sum + count, 0);
  const what = reduce === 'rank' ? 'received rows' : 'received choices';
  if (!(expertOut instanceof Float32Array)) {
    const given = numRowsOf('expertOut', expertOut, hidden);
    if (given === numRows) return;
    throw invalid(`expertOut has ${given} rows; pass ${numRows} ${what}`);
  }
  if (expertOut.length === numRows * hidden) return;
  throw invalid(`expertOut has ${expertOut.length} numbers; pass ${numRows} ${what} × hidden ${hidden}`);
}

/** @throws CommError INVALID_ARGUMENT unless `value` is a whole number from 1 to `max`; `name` is what it is called in the options. */
export function checkCount(name: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= max) return;
  throw invalid(`${name} is ${value}; pass an integer from 1 to ${max}`);
}

function checkChoice(name: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) throw invalid(`${name} is ${value}; pass ${allowed.join(', ')}`);
}

/** The error for an argument that can't be; `message` says what it is and what to pass. */
export const invalid = (message: string): CommError => new CommError('INVALID_ARGUMENT', message);

/** A handle that knows no rows of a rank that sends again. */
export const staleHandle = (rank: Rank): CommError =>
  invalid(`the handle was made while rank ${rank} was masked; dispatch with routing again`);
