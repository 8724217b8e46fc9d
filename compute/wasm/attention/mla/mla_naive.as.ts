/** The naive form: each head's keys and values are expanded from the cache rows. Cheaper than the absorbed form where many tokens share the expansion. */
import { attendBlock, numBlocks } from '../attend.as';
import { IN_ROWS, Lane, ROWS, laneBytes, roundUp4 } from '../lane.as';
import { linear } from '../../linear/divided.as';
import { F32, Matrix, here } from '../../memory/memory.as';
import { keyRows, valueRows } from './mla_heads.as';
import { MlaLayer, mostAttended, queryWidth } from './mla_fields.as';
import { loadLatent, loadRotated, rowAt } from './mla_rows.as';
import { NAIVE, Part, Step, bytesOf, floats, partOf, partWork } from '../step.as';
import { chunksFor, numSlots, ownSlot, parallel } from '../../threads/parallel.as';

/** Cache rows that are expanded at once: what stays in the L2 cache with a head's rows of kv_b_proj. */
const KEYS: i32 = 64;

const laneAt: usize = memory.data(offsetof<Lane>(), 16);
/** The table of one block: a head's keys and values follow each other in scratch memory. */
const tableAt: usize = memory.data(4, 4);

/** Scratch memory: one head's keys and values, and room for each thread. */
export function naiveBytes(l: MlaLayer, s: Step): u64 {
  const most = mostAttended(l, mostNaiveKeys(s));
  if (most == 0) return 0;
  return bytesOf(most, queryWidth(l) + roundUp4(l.valueDim)) + <u64>numSlots() * slotBytes(l, most);
}

/** Keys that the longest sequence in this form has at its end. */
function mostNaiveKeys(s: Step): i32 {
  let most: i32 = 0;
  for (let i = 0; i < s.numParts; i++) {
    const part = partOf(s, i);
    if (part.form == NAIVE) most = max(most, part.position + part.numTokens);
  }
  return most;
}

/** Of a thread, which first expands keys and then attends to them. */
function slotBytes(l: MlaLayer, numKeys: i32): u64 {
  const latents = bytesOf(min(KEYS, numKeys), changetype<Matrix>(l.kvUp).stride);
  return max<u64>(latents, laneBytes(numKeys, 0, queryWidth(l), roundUp4(l.valueDim)));
}

/** What the chunks of a head have in common. */
@unmanaged
class Pass {
  layer: usize;
  part: usize;
  head: i32;
  queries: usize;
  attended: usize;
  /** The head's keys [nope | rope] and values of all tokens so far. */
  keys: usize;
  values: usize;
  /** For each thread. */
  slots: usize;
  slotBytes: usize;
  /** Of a chunk: KEYS keys that are expanded, and blocks of rows that attend. */
  keyBlocks: i32;
  units: i32;
}

const passAt: usize = memory.data(offsetof<Pass>(), 16);

/** Head by head, so that there is one expansion however many threads compute. scratch: {@link naiveBytes}. */
export function attendNaive(l: MlaLayer, s: Step, part: Part, queries: usize, attended: usize, scratch: usize): void {
  if (part.numTokens == 0) return;
  const numKeys = part.position + part.numTokens;
  const pass = changetype<Pass>(here(passAt));
  pass.layer = changetype<usize>(l);
  pass.part = changetype<usize>(part);
  pass.queries = queries;
  pass.attended = attended;
  pass.keys = scratch;
  pass.values = pass.keys + floats(numKeys * queryWidth(l));
  pass.slots = pass.values + floats(numKeys * roundUp4(l.valueDim));
  pass.slotBytes = <usize>slotBytes(l, numKeys);
  const numKeyBlocks = (numKeys + KEYS - 1) / KEYS;
  const expansion = (<i64>numKeys * <i64>(l.nopeDim + l.valueDim) * <i64>l.kvLoraRank) >> 5;
  const keyChunks = chunksFor(expansion, numKeyBlocks);
  pass.keyBlocks = (numKeyBlocks + keyChunks - 1) / keyChunks;
  const numUnits = (part.numTokens + ROWS - 1) / ROWS;
  const unitChunks = chunksFor(partWork(part, queryWidth(l)), numUnits);
  pass.units = (numUnits + unitChunks - 1) / unitChunks;
  for (pass.head = 0; pass.head < l.numHeads; pass.head++) {
    parallel(expandKeys, (numKeyBlocks + pass.keyBlocks - 1) / pass.keyBlocks, changetype<usize>(pass));
    parallel(attendUnits, (numUnits + pass.units - 1) / pass.units, changetype<usize>(pass));
  }
}

function attendUnits(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const lane = describeLane(pass);
  const first = index * pass.units;
  for (let unit = first; unit < min(numBlocks(lane), first + pass.units); unit++) attendBlock(lane, unit);
}

function expandKeys(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<MlaLayer>(pass.layer);
  const part = changetype<Part>(pass.part);
  const latents = pass.slots + ownSlot() * pass.slotBytes;
  const width = queryWidth(l);
  const valueWidth = roundUp4(l.valueDim);
  const first = index * pass.keyBlocks * KEYS;
  const end = min(part.position + part.numTokens, first + pass.keyBlocks * KEYS);
  for (let key = first; key < end; key += KEYS) {
    const count = min(KEYS, end - key);
    const keys = pass.keys + floats(key * width);
    gather(l, part, key, count, latents, keys);
    linear(latents, count, keyRows(l, pass.head), keys, width);
    linear(latents, count, valueRows(l, pass.head), pass.values + floats(key * valueWidth), valueWidth);
  }
}

/** Cache rows first … first + count − 1: latents as rows that `linear` takes, and the rotated keys in their places. */
function gather(l: MlaLayer, part: Part, first: i32, count: i32, latents: usize, keys: usize): void {
  const stride = changetype<Matrix>(l.kvUp).stride;
  const width = queryWidth(l);
  for (let key = first; key < first + count; key++) {
    const row = rowAt(l, part, key - part.position);
    loadLatent(l, row, latents + floats((key - first) * stride), stride);
    loadRotated(l, row, keys + floats((key - first) * width + l.nopeDim), width - l.nopeDim);
  }
}

function describeLane(pass: Pass): Lane {
  const l = changetype<MlaLayer>(pass.layer);
  const part = changetype<Part>(pass.part);
  const lane = changetype<Lane>(here(laneAt));
  store<u32>(here(tableAt), <u32>pass.keys);
  lane.queryTokenBytes = floats(l.numHeads * queryWidth(l));
  lane.queryHeadBytes = 0;
  lane.queries = pass.queries + <usize>part.rowStart * lane.queryTokenBytes + floats(pass.head * queryWidth(l));
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
  lane.valueOffset = pass.values - pass.keys;
  lane.valueBytes = floats(roundUp4(l.valueDim));
  lane.valueWidth = roundUp4(l.valueDim);
  lane.valueDim = l.valueDim;
  lane.dtype = F32;
  lane.outTokenBytes = floats(changetype<Matrix>(l.output).stride);
  lane.outHeadBytes = 0;
  lane.out = pass.attended + <usize>part.rowStart * lane.outTokenBytes + floats(pass.head * l.valueDim);
  lane.scratch = pass.slots + ownSlot() * pass.slotBytes;
  return lane;
}
