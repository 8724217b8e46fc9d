/** The absorbed form: queries are multiplied into the latent space, so that all heads read the cache rows themselves, as keys and as values. */
import { attendBlock, numBlocks } from '../attend.as';
import { IN_ROWS, Lane, laneBytes, roundUp4 } from '../lane.as';
import { linear } from '../../linear/divided.as';
import { Matrix, here } from '../../memory/memory.as';
import { keyRows, valueRows } from './mla_heads.as';
import { MlaLayer, cacheWidth, mostAttended, queryWidth } from './mla_fields.as';
import { describeKeys, rowBytes } from './mla_rows.as';
import { clearPadding, copyRows } from '../../linear/rows.as';
import { NAIVE, Step, attentionWork, bytesOf, floats, mostKeys, partOf } from '../step.as';
import { StoredKeys } from '../stored_keys.as';
import { linearTransposed } from '../../linear/transposed.as';
import { chunksFor, numSlots, ownSlot, parallel } from '../../threads/parallel.as';

/** Tokens whose queries are in the latent space at once. */
const TOKENS: i32 = 32;

const laneAt: usize = memory.data(offsetof<Lane>(), 16);
const keysAt: usize = memory.data(offsetof<StoredKeys>(), 16);

export function absorbedBytes(l: MlaLayer, s: Step): u64 {
  const count = min(TOKENS, absorbedTokens(s));
  if (count == 0) return 0;
  const perHead = cacheWidth(l) + changetype<Matrix>(l.kvUp).stride;
  return bytesOf(count * l.numHeads, perHead) + <u64>numSlots() * bytesOfLane(l, s);
}

function absorbedTokens(s: Step): i32 {
  let count = 0;
  for (let i = 0; i < s.numParts; i++) if (partOf(s, i).form != NAIVE) count += partOf(s, i).numTokens;
  return count;
}

function bytesOfLane(l: MlaLayer, s: Step): u64 {
  return laneBytes(mostAttended(l, mostKeys(s)), 0, cacheWidth(l), roundUp4(l.kvLoraRank));
}

/** What the chunks of some rows have in common. */
@unmanaged
class Pass {
  layer: usize;
  step: usize;
  firstPart: i32;
  lastPart: i32;
  /** The rows at hand, and where their queries and what attention makes of them are. */
  row: i32;
  count: i32;
  queries: usize;
  attended: usize;
  latent: usize;
  contexts: usize;
  /** For each thread. */
  lanes: usize;
  laneBytes: usize;
  /** Of a chunk: heads, or blocks of rows of parts. */
  heads: i32;
  units: i32;
}

const passAt: usize = memory.data(offsetof<Pass>(), 16);

/** Parts firstPart … lastPart − 1, whose rows follow each other. */
export function attendAbsorbed(
  l: MlaLayer,
  s: Step,
  firstPart: i32,
  lastPart: i32,
  queries: usize,
  attended: usize,
  scratch: usize,
): void {
  const last = partOf(s, lastPart - 1);
  const end = last.rowStart + last.numTokens;
  const pass = changetype<Pass>(here(passAt));
  pass.layer = changetype<usize>(l);
  pass.step = changetype<usize>(s);
  pass.firstPart = firstPart;
  pass.lastPart = lastPart;
  pass.latent = scratch;
  pass.laneBytes = <usize>bytesOfLane(l, s);
  for (let row = partOf(s, firstPart).rowStart; row < end; row += TOKENS) {
    pass.row = row;
    pass.count = min(TOKENS, end - row);
    pass.queries = queries + floats(row * l.numHeads * queryWidth(l));
    pass.attended = attended + floats(row * changetype<Matrix>(l.output).stride);
    pass.contexts = scratch + floats(pass.count * l.numHeads * cacheWidth(l));
    pass.lanes = pass.contexts + floats(l.numHeads * pass.count * changetype<Matrix>(l.kvUp).stride);
    attendRows(l, s, pass);
  }
}

function attendRows(l: MlaLayer, s: Step, pass: Pass): void {
  const args = changetype<usize>(pass);
  const perHead = <i64>l.kvLoraRank * <i64>max(l.nopeDim, l.valueDim);
  const headChunks = chunksFor((perHead * <i64>(2 + pass.count) * <i64>l.numHeads) >> 4, l.numHeads);
  pass.heads = (l.numHeads + headChunks - 1) / headChunks;
  const numUnits = unitsOf(pass);
  const unitChunks = chunksFor(attentionWork(s, l.numHeads * cacheWidth(l)), numUnits);
  pass.units = (numUnits + unitChunks - 1) / unitChunks;
  const numHeadChunks = (l.numHeads + pass.heads - 1) / pass.heads;
  parallel(intoLatent, numHeadChunks, args);
  parallel(attendLatent, (numUnits + pass.units - 1) / pass.units, args);
  parallel(outOfLatent, numHeadChunks, args);
}

/** Queries [token][head][nope | rope] → [token][head][nope·W_uk | rope], as wide as cache rows. */
function intoLatent(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<MlaLayer>(pass.layer);
  for (let head = index * pass.heads; head < min(l.numHeads, (index + 1) * pass.heads); head++)
    headIntoLatent(l, head, pass.queries, pass.count, pass.latent);
}

/** The same for one head of `count` tokens. */
export function headIntoLatent(l: MlaLayer, head: i32, queries: usize, count: i32, latent: usize): void {
  const from = queryWidth(l);
  const to = cacheWidth(l);
  const latentWidth = roundUp4(l.kvLoraRank);
  const query = queries + floats(head * from);
  const out = latent + floats(head * to);
  linearTransposed(query, count, l.numHeads * from, keyRows(l, head), out, l.numHeads * to, latentWidth);
  copyRows(
    query + floats(l.nopeDim),
    l.numHeads * from,
    count,
    l.ropeDim,
    out + floats(latentWidth),
    l.numHeads * to,
    to - latentWidth,
  );
}

/** Blocks of rows of all parts, as far as they are among the rows at hand. */
function unitsOf(pass: Pass): i32 {
  let count = 0;
  for (let i = pass.firstPart; i < pass.lastPart; i++) count += numBlocks(laneOf(pass, i));
  return count;
}

/** Units of parts → contexts [head][row][latent]. */
function attendLatent(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const first = index * pass.units;
  const end = first + pass.units;
  let start = 0;
  for (let i = pass.firstPart; i < pass.lastPart && start < end; i++) {
    const lane = laneOf(pass, i);
    const last = start + numBlocks(lane);
    for (let unit = max(first, start); unit < min(end, last); unit++) attendBlock(lane, unit - start);
    start = last;
  }
}

/** A part's tokens among the rows at hand; none, where it has none there. */
function laneOf(pass: Pass, index: i32): Lane {
  const l = changetype<MlaLayer>(pass.layer);
  const part = partOf(changetype<Step>(pass.step), index);
  const row = pass.row;
  const start = max(row, part.rowStart);
  const end = max(start, min(row + pass.count, part.rowStart + part.numTokens));
  const lane = changetype<Lane>(here(laneAt));
  const width = cacheWidth(l);
  const contextStride = changetype<Matrix>(l.kvUp).stride;
  lane.queryHeadBytes = floats(width);
  lane.queryTokenBytes = floats(l.numHeads * width);
  lane.queries = pass.latent + <usize>(start - row) * lane.queryTokenBytes;
  lane.numTokens = end - start;
  lane.numHeads = l.numHeads;
  lane.position = part.position + start - part.rowStart;
  lane.window = 0;
  lane.sinks = 0;
  lane.width = width;
  lane.softmaxScale = l.softmaxScale;
  lane.blocks = part.blocks;
  lane.blockSize = l.blockSize;
  lane.form = IN_ROWS;
  lane.keyOffset = l.cacheOffset;
  lane.keyBytes = rowBytes(l);
  lane.valueOffset = l.cacheOffset;
  lane.valueBytes = rowBytes(l);
  lane.valueWidth = roundUp4(l.kvLoraRank);
  lane.valueDim = l.kvLoraRank;
  lane.dtype = l.kvDtype;
  lane.storedKeys = here(keysAt);
  describeKeys(l, changetype<StoredKeys>(lane.storedKeys));
  lane.outTokenBytes = floats(contextStride);
  lane.outHeadBytes = floats(pass.count * contextStride);
  lane.out = pass.contexts + <usize>(start - row) * lane.outTokenBytes;
  lane.scratch = pass.lanes + ownSlot() * pass.laneBytes;
  return lane;
}

/** contexts·W_uv of heads, side by side. */
function outOfLatent(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<MlaLayer>(pass.layer);
  for (let head = index * pass.heads; head < min(l.numHeads, (index + 1) * pass.heads); head++)
    headOutOfLatent(l, head, pass.contexts, pass.count, pass.attended);
}

/** The same for one head of `count` tokens, whose contexts [head][token] become rows as the output's projection takes them. */
export function headOutOfLatent(l: MlaLayer, head: i32, contexts: usize, count: i32, attended: usize): void {
  const stride = changetype<Matrix>(l.kvUp).stride;
  const context = contexts + floats(head * count * stride);
  clearPadding(context, count, l.kvLoraRank, stride);
  const out = attended + floats(head * l.valueDim);
  linear(context, count, valueRows(l, head), out, changetype<Matrix>(l.output).stride);
}
