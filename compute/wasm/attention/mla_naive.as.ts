/** The naive form: each head's keys and values are expanded from the cache rows. Cheaper than the absorbed form where many tokens share the expansion. */
import { attend } from './attend.as';
import { IN_ROWS, Lane, laneBytes, roundUp4 } from './lane.as';
import { linear } from '../linear/divided.as';
import { Matrix, here } from '../memory/memory.as';
import { keyRows, valueRows } from './mla_heads.as';
import { MlaLayer, cacheWidth, queryWidth } from './mla_fields.as';
import { copyRows } from '../linear/rows.as';
import { NAIVE, Part, Step, bytesOf, floats, partOf } from './step.as';
import { chunksFor, ownSlot, parallel } from '../threads/parallel.as';

/** Cache rows that are expanded at once: what stays in the L2 cache with a head's rows of kv_b_proj. */
const KEYS: i32 = 64;

const laneAt: usize = memory.data(offsetof<Lane>(), 16);
/** The table of one block: a head's keys and values follow each other in scratch memory. */
const tableAt: usize = memory.data(4, 4);

/** Scratch memory of a thread. */
export function naiveBytes(l: MlaLayer, s: Step): u64 {
  let most: i32 = 0;
  for (let i = 0; i < s.numParts; i++) {
    const part = partOf(s, i);
    if (part.form == NAIVE) most = max(most, part.position + part.numTokens);
  }
  if (most == 0) return 0;
  const stride = changetype<Matrix>(l.kvUp).stride;
  const valueWidth = roundUp4(l.valueDim);
  return (
    bytesOf(KEYS, stride) + bytesOf(most, queryWidth(l) + valueWidth) + laneBytes(most, 0, queryWidth(l), valueWidth)
  );
}

/** What the chunks of a call have in common. */
@unmanaged
class Pass {
  layer: usize;
  part: usize;
  queries: usize;
  attended: usize;
  /** For each thread. */
  scratch: usize;
  scratchBytes: usize;
  /** Of a chunk. */
  heads: i32;
}

const passAt: usize = memory.data(offsetof<Pass>(), 16);

/** scratch: {@link naiveBytes} for each thread. */
export function attendNaive(l: MlaLayer, s: Step, part: Part, queries: usize, attended: usize, scratch: usize): void {
  const pass = changetype<Pass>(here(passAt));
  pass.layer = changetype<usize>(l);
  pass.part = changetype<usize>(part);
  pass.queries = queries;
  pass.attended = attended;
  pass.scratch = scratch;
  pass.scratchBytes = <usize>naiveBytes(l, s);
  const numKeys = part.position + part.numTokens;
  const perKey = (l.nopeDim + l.valueDim) * l.kvLoraRank + part.numTokens * queryWidth(l);
  const numChunks = chunksFor((<i64>numKeys * <i64>perKey * <i64>l.numHeads) >> 4, l.numHeads);
  pass.heads = (l.numHeads + numChunks - 1) / numChunks;
  parallel(attendHeads, (l.numHeads + pass.heads - 1) / pass.heads, changetype<usize>(pass));
}

function attendHeads(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<MlaLayer>(pass.layer);
  const part = changetype<Part>(pass.part);
  const scratch = pass.scratch + ownSlot() * pass.scratchBytes;
  const numKeys = part.position + part.numTokens;
  const keys = scratch + floats(KEYS * changetype<Matrix>(l.kvUp).stride);
  const values = keys + floats(numKeys * queryWidth(l));
  describeLane(l, part, keys, values, values + floats(numKeys * roundUp4(l.valueDim)));
  const lane = changetype<Lane>(here(laneAt));
  for (let head = index * pass.heads; head < min(l.numHeads, (index + 1) * pass.heads); head++) {
    expand(l, part, head, scratch, keys, values);
    lane.queries = pass.queries + <usize>part.rowStart * lane.queryTokenBytes + floats(head * queryWidth(l));
    lane.out = pass.attended + <usize>part.rowStart * lane.outTokenBytes + floats(head * l.valueDim);
    attend(here(laneAt));
  }
}

/** One head's keys [nope | rope] and values of all tokens so far. */
function expand(l: MlaLayer, part: Part, head: i32, latents: usize, keys: usize, values: usize): void {
  const numKeys = part.position + part.numTokens;
  const width = queryWidth(l);
  const valueWidth = roundUp4(l.valueDim);
  for (let key = 0; key < numKeys; key += KEYS) {
    const count = min(KEYS, numKeys - key);
    gather(l, part, key, count, latents, keys + floats(key * width));
    linear(latents, count, keyRows(l, head), keys + floats(key * width), width);
    linear(latents, count, valueRows(l, head), values + floats(key * valueWidth), valueWidth);
  }
}

/** Cache rows first … first + count − 1: latents as rows that `linear` takes, and the rotated keys in their places. */
function gather(l: MlaLayer, part: Part, first: i32, count: i32, latents: usize, keys: usize): void {
  const stride = changetype<Matrix>(l.kvUp).stride;
  const width = queryWidth(l);
  const rowWidth = cacheWidth(l);
  const latentBytes = floats(roundUp4(l.kvLoraRank));
  let key = first;
  while (key < first + count) {
    const inBlock = key % l.blockSize;
    const numRows = min(l.blockSize - inBlock, first + count - key);
    const row = <usize>load<u32>(part.blocks + floats(key / l.blockSize)) + l.cacheOffset + floats(inBlock * rowWidth);
    copyRows(row, rowWidth, numRows, l.kvLoraRank, latents + floats((key - first) * stride), stride, stride);
    const ropeKey = keys + floats((key - first) * width + l.nopeDim);
    copyRows(row + latentBytes, rowWidth, numRows, l.ropeDim, ropeKey, width, width - l.nopeDim);
    key += numRows;
  }
}

function describeLane(l: MlaLayer, part: Part, keys: usize, values: usize, scratch: usize): void {
  const lane = changetype<Lane>(here(laneAt));
  store<u32>(here(tableAt), <u32>keys);
  lane.queryTokenBytes = floats(l.numHeads * queryWidth(l));
  lane.queryHeadBytes = 0;
  lane.numTokens = part.numTokens;
  lane.numHeads = 1;
  lane.position = part.position;
  lane.window = 0;
  lane.sinks = 0;
  lane.width = queryWidth(l);
  lane.softmaxScale = l.softmaxScale;
  lane.blocks = here(tableAt);
  lane.blockSize = part.position + part.numTokens;
  lane.form = IN_ROWS;
  lane.keyOffset = 0;
  lane.keyBytes = floats(queryWidth(l));
  lane.valueOffset = values - keys;
  lane.valueBytes = floats(roundUp4(l.valueDim));
  lane.valueWidth = roundUp4(l.valueDim);
  lane.valueDim = l.valueDim;
  lane.outTokenBytes = floats(changetype<Matrix>(l.output).stride);
  lane.outHeadBytes = 0;
  lane.scratch = scratch;
}
