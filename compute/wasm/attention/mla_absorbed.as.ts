/** The absorbed form: queries are multiplied into the latent space, so that all heads read the cache rows themselves, as keys and as values. */
import { attend } from './attend.as';
import { IN_ROWS, Lane, laneBytes, roundUp4 } from './lane.as';
import { linear } from '../linear/divided.as';
import { Matrix, here } from '../memory/memory.as';
import { keyRows, valueRows } from './mla_heads.as';
import { MlaLayer, cacheWidth, queryWidth } from './mla_fields.as';
import { clearPadding, copyRows } from '../linear/rows.as';
import { NAIVE, Step, bytesOf, floats, mostKeys, partOf } from './step.as';
import { linearTransposed } from '../linear/transposed.as';

/** Tokens whose queries are in the latent space at once. */
const TOKENS: i32 = 32;

const laneAt: usize = memory.data(offsetof<Lane>(), 16);

export function absorbedBytes(l: MlaLayer, s: Step): u64 {
  const count = min(TOKENS, absorbedTokens(s));
  if (count == 0) return 0;
  const perHead = cacheWidth(l) + changetype<Matrix>(l.kvUp).stride;
  return bytesOf(count * l.numHeads, perHead) + laneBytes(mostKeys(s), 0, cacheWidth(l), roundUp4(l.kvLoraRank));
}

function absorbedTokens(s: Step): i32 {
  let count = 0;
  for (let i = 0; i < s.numParts; i++) if (partOf(s, i).form != NAIVE) count += partOf(s, i).numTokens;
  return count;
}

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
  for (let row = partOf(s, firstPart).rowStart; row < end; row += TOKENS) {
    const count = min(TOKENS, end - row);
    const latent = scratch;
    const contexts = latent + floats(count * l.numHeads * cacheWidth(l));
    const laneScratch = contexts + floats(l.numHeads * count * changetype<Matrix>(l.kvUp).stride);
    intoLatent(l, queries + floats(row * l.numHeads * queryWidth(l)), count, latent);
    for (let i = firstPart; i < lastPart; i++) attendLatent(l, s, i, row, count, latent, contexts, laneScratch);
    outOfLatent(l, contexts, count, attended + floats(row * changetype<Matrix>(l.output).stride));
  }
}

/** Queries [token][head][nope | rope] → [token][head][nope·W_uk | rope], as wide as cache rows. */
function intoLatent(l: MlaLayer, queries: usize, numTokens: i32, latent: usize): void {
  const from = queryWidth(l);
  const to = cacheWidth(l);
  const latentWidth = roundUp4(l.kvLoraRank);
  for (let head = 0; head < l.numHeads; head++) {
    const query = queries + floats(head * from);
    const out = latent + floats(head * to);
    linearTransposed(query, numTokens, l.numHeads * from, keyRows(l, head), out, l.numHeads * to, latentWidth);
    copyRows(
      query + floats(l.nopeDim),
      l.numHeads * from,
      numTokens,
      l.ropeDim,
      out + floats(latentWidth),
      l.numHeads * to,
      to - latentWidth,
    );
  }
}

/** A part's tokens among rows row … row + count − 1 → contexts [head][row][latent]. */
function attendLatent(
  l: MlaLayer,
  s: Step,
  index: i32,
  row: i32,
  count: i32,
  latent: usize,
  contexts: usize,
  scratch: usize,
): void {
  const part = partOf(s, index);
  const start = max(row, part.rowStart);
  const end = min(row + count, part.rowStart + part.numTokens);
  if (start >= end) return;
  const lane = changetype<Lane>(here(laneAt));
  const width = cacheWidth(l);
  const contextStride = changetype<Matrix>(l.kvUp).stride;
  lane.queryHeadBytes = floats(width);
  lane.queryTokenBytes = floats(l.numHeads * width);
  lane.queries = latent + <usize>(start - row) * lane.queryTokenBytes;
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
  lane.keyBytes = floats(width);
  lane.valueOffset = l.cacheOffset;
  lane.valueBytes = floats(width);
  lane.valueWidth = roundUp4(l.kvLoraRank);
  lane.valueDim = l.kvLoraRank;
  lane.outTokenBytes = floats(contextStride);
  lane.outHeadBytes = floats(count * contextStride);
  lane.out = contexts + <usize>(start - row) * lane.outTokenBytes;
  lane.scratch = scratch;
  attend(here(laneAt));
}

/** contexts·W_uv of each head, side by side. */
function outOfLatent(l: MlaLayer, contexts: usize, numTokens: i32, attended: usize): void {
  const stride = changetype<Matrix>(l.kvUp).stride;
  clearPadding(contexts, l.numHeads * numTokens, l.kvLoraRank, stride);
  for (let head = 0; head < l.numHeads; head++) {
    const out = attended + floats(head * l.valueDim);
    linear(
      contexts + floats(head * numTokens * stride),
      numTokens,
      valueRows(l, head),
      out,
      changetype<Matrix>(l.output).stride,
    );
  }
}
