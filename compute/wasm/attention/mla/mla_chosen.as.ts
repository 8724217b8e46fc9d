/**
 * Latent attention over the keys that an indexer chose: of tokens that see more than `indexTopk`; those before them attend to all keys. A token's keys are gathered, in
 * the order of their positions, and all heads attend to them in the latent space, whatever the form: what a token makes depends on its own keys alone.
 */
import { attendBlock } from '../attend.as';
import { IN_ROWS, Lane, ROWS, laneBytes, roundUp4 } from '../lane.as';
import { F32, Matrix, here } from '../../memory/memory.as';
import { headIntoLatent, headOutOfLatent } from './mla_absorbed.as';
import { MlaLayer, cacheWidth, queryWidth } from './mla_fields.as';
import { loadBoth, rowAt } from './mla_rows.as';
import { RANGE, chooseKeys, scoreBytes, scoreKeys } from './mla_indexer.as';
import { Part, Step, bytesOf, floats, mostKeys, partOf } from '../step.as';
import { chunksFor, numSlots, ownSlot, parallel } from '../../threads/parallel.as';

/** Tokens whose keys are gathered at once. */
const TOKENS: i32 = 4;
/** Keys that are gathered in one unit. */
const PIECE: i32 = 64;

const laneAt: usize = memory.data(offsetof<Lane>(), 16);
/** The table of one block: a token's keys follow each other in scratch memory. */
const tableAt: usize = memory.data(4, 4);

/** Of the tokens at hand. */
@unmanaged
class Token {
  part: usize;
  /** Among the part's. */
  token: i32;
  numKeys: i32;
}

/** As far as they are apart, so that what lies behind them is at a multiple of 16. */
const TOKEN_BYTES: i32 = 16;

/** What the chunks of some tokens have in common. */
@unmanaged
class Pass {
  layer: usize;
  step: usize;
  index: usize;
  /** {@link Token}s. */
  tokens: usize;
  count: i32;
  /** Most keys of a token. */
  mostKeys: i32;
  scores: usize;
  queries: usize;
  latent: usize;
  keys: usize;
  contexts: usize;
  attended: usize;
  /** For each thread. */
  slots: usize;
  slotBytes: usize;
  /** Of a chunk. */
  units: i32;
}

const passAt: usize = memory.data(offsetof<Pass>(), 16);

/** Tokens at the end of a part that see more keys than are chosen. */
function numChoosing(l: MlaLayer, part: Part): i32 {
  if (l.indexTopk == 0) return 0;
  return min(part.numTokens, max(0, part.position + part.numTokens - l.indexTopk));
}

/** Room for {@link denseStep}. */
export function denseBytes(l: MlaLayer, s: Step): usize {
  if (l.indexTopk == 0) return 0;
  return (offsetof<Step>() + <usize>s.numParts * offsetof<Part>() + 15) & ~15;
}

/** The step without the tokens that attend to chosen keys. */
export function denseStep(l: MlaLayer, s: Step, room: usize): Step {
  if (l.indexTopk == 0) return s;
  memory.copy(room, changetype<usize>(s), offsetof<Step>());
  const dense = changetype<Step>(room);
  dense.parts = room + offsetof<Step>();
  memory.copy(dense.parts, s.parts, <usize>s.numParts * offsetof<Part>());
  for (let i = 0; i < s.numParts; i++) partOf(dense, i).numTokens -= numChoosing(l, partOf(s, i));
  return dense;
}

function totalChoosing(l: MlaLayer, s: Step): i32 {
  let total = 0;
  for (let i = 0; i < s.numParts; i++) total += numChoosing(l, partOf(s, i));
  return total;
}

/** Scratch memory. */
export function sparseBytes(l: MlaLayer, s: Step): u64 {
  const count = min(TOKENS, totalChoosing(l, s));
  return count == 0 ? 0 : bytesOf(count, floatsOf(l, s)) + <u64>numSlots() * slotBytesOf(l);
}

/** Per token at hand: its scores, its query as it is and in the latent space, its keys, what heads found there, and what they make of it. */
function floatsOf(l: MlaLayer, s: Step): i32 {
  const perHead = queryWidth(l) + cacheWidth(l) + changetype<Matrix>(l.kvUp).stride;
  const attended = changetype<Matrix>(l.output).stride;
  return roundUp4(mostKeys(s)) + l.numHeads * perHead + l.indexTopk * cacheWidth(l) + attended + (TOKEN_BYTES >> 2);
}

function slotBytesOf(l: MlaLayer): u64 {
  const attending = laneBytes(l.indexTopk, 0, cacheWidth(l), roundUp4(l.kvLoraRank));
  return (max<u64>(scoreBytes(l), attending) + 15) & ~15;
}

/** index: what the indexer projected, 0 where it didn't. scratch: {@link sparseBytes}. */
export function attendChosen(
  l: MlaLayer,
  s: Step,
  queries: usize,
  index: usize,
  attended: usize,
  scratch: usize,
): void {
  const total = totalChoosing(l, s);
  if (total == 0) return;
  const most = min(TOKENS, total);
  const pass = changetype<Pass>(here(passAt));
  pass.layer = changetype<usize>(l);
  pass.step = changetype<usize>(s);
  pass.index = index;
  pass.mostKeys = roundUp4(mostKeys(s));
  pass.scores = scratch;
  pass.queries = pass.scores + floats(most * pass.mostKeys);
  pass.latent = pass.queries + floats(most * l.numHeads * queryWidth(l));
  pass.keys = pass.latent + floats(most * l.numHeads * cacheWidth(l));
  pass.contexts = pass.keys + floats(most * l.indexTopk * cacheWidth(l));
  pass.attended = pass.contexts + floats(most * l.numHeads * changetype<Matrix>(l.kvUp).stride);
  pass.tokens = pass.attended + floats(most * changetype<Matrix>(l.output).stride);
  pass.slots = pass.tokens + <usize>(most * TOKEN_BYTES);
  pass.slotBytes = <usize>slotBytesOf(l);
  pass.count = 0;
  for (let i = 0; i < s.numParts; i++) {
    const part = partOf(s, i);
    for (let t = part.numTokens - numChoosing(l, part); t < part.numTokens; t++) {
      addToken(pass, part, t, queries);
      if (pass.count == most) finish(pass, attended);
    }
  }
  if (pass.count > 0) finish(pass, attended);
}

function addToken(pass: Pass, part: Part, t: i32, queries: usize): void {
  const l = changetype<MlaLayer>(pass.layer);
  const width = l.numHeads * queryWidth(l);
  const token = tokenAt(pass, pass.count);
  token.part = changetype<usize>(part);
  token.token = t;
  token.numKeys = part.position + t + 1;
  memory.copy(pass.queries + floats(pass.count * width), queries + floats((part.rowStart + t) * width), floats(width));
  pass.count++;
}

function tokenAt(pass: Pass, i: i32): Token {
  return changetype<Token>(pass.tokens + <usize>(i * TOKEN_BYTES));
}

function rowOf(token: Token): i32 {
  return changetype<Part>(token.part).rowStart + token.token;
}

/** The tokens at hand. */
function finish(pass: Pass, attended: usize): void {
  const l = changetype<MlaLayer>(pass.layer);
  const perKey = <i64>l.indexHeads * <i64>l.indexDim;
  const keys = <i64>pass.count * <i64>pass.mostKeys;
  if (l.indexQuery != 0) {
    run(pass, scoreUnits, pass.count * numRanges(pass), (keys * perKey) >> 4);
    run(pass, chooseUnits, pass.count, 4 * keys);
  }
  const perHead = (<i64>l.kvLoraRank * <i64>l.nopeDim * <i64>(2 + pass.count)) >> 4;
  const gathered = <i64>pass.count * <i64>l.indexTopk * <i64>cacheWidth(l);
  run(pass, intoLatent, l.numHeads, <i64>l.numHeads * perHead);
  run(pass, gatherUnits, pass.count * numPieces(l), gathered >> 2);
  run(pass, attendUnits, pass.count * numHeadBlocks(l), (gathered * <i64>l.numHeads) >> 3);
  run(pass, outOfLatent, l.numHeads, <i64>l.numHeads * perHead);
  const stride = changetype<Matrix>(l.output).stride;
  const bytes = floats(l.numHeads * l.valueDim);
  for (let i = 0; i < pass.count; i++)
    memory.copy(attended + floats(rowOf(tokenAt(pass, i)) * stride), pass.attended + floats(i * stride), bytes);
  pass.count = 0;
}

/** Units in chunks, by their work. */
function run(pass: Pass, chunk: (args: usize, index: i32) => void, numUnits: i32, work: i64): void {
  const numChunks = chunksFor(work, numUnits);
  pass.units = (numUnits + numChunks - 1) / numChunks;
  parallel(chunk, (numUnits + pass.units - 1) / pass.units, changetype<usize>(pass));
}

function numRanges(pass: Pass): i32 {
  return (pass.mostKeys + RANGE - 1) / RANGE;
}

function numPieces(l: MlaLayer): i32 {
  return (l.indexTopk + PIECE - 1) / PIECE;
}

function numHeadBlocks(l: MlaLayer): i32 {
  return (l.numHeads + ROWS - 1) / ROWS;
}

function scratchOf(pass: Pass): usize {
  return pass.slots + ownSlot() * pass.slotBytes;
}

/** Where the keys that were chosen for a token are told. */
function chosenOf(pass: Pass, token: Token): usize {
  const l = changetype<MlaLayer>(pass.layer);
  return changetype<Step>(pass.step).chosen + floats(rowOf(token)) * <usize>l.indexTopk;
}

/** Ranges of keys of tokens. */
function scoreUnits(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<MlaLayer>(pass.layer);
  const ranges = numRanges(pass);
  const end = min(pass.count * ranges, (index + 1) * pass.units);
  for (let unit = index * pass.units; unit < end; unit++) {
    const token = tokenAt(pass, unit / ranges);
    const start = (unit % ranges) * RANGE;
    if (start >= token.numKeys) continue;
    const scores = pass.scores + floats((unit / ranges) * pass.mostKeys);
    const part = changetype<Part>(token.part);
    const last = min(start + RANGE, token.numKeys);
    scoreKeys(l, changetype<Step>(pass.step), part, token.token, pass.index, start, last, scores, scratchOf(pass));
  }
}

function chooseUnits(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<MlaLayer>(pass.layer);
  for (let i = index * pass.units; i < min(pass.count, (index + 1) * pass.units); i++) {
    const token = tokenAt(pass, i);
    chooseKeys(pass.scores + floats(i * pass.mostKeys), token.numKeys, l.indexTopk, chosenOf(pass, token));
  }
}

function intoLatent(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<MlaLayer>(pass.layer);
  for (let head = index * pass.units; head < min(l.numHeads, (index + 1) * pass.units); head++)
    headIntoLatent(l, head, pass.queries, pass.count, pass.latent);
}

/** Pieces of the keys of tokens. */
function gatherUnits(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<MlaLayer>(pass.layer);
  const pieces = numPieces(l);
  const bytes = floats(cacheWidth(l));
  for (let unit = index * pass.units; unit < min(pass.count * pieces, (index + 1) * pass.units); unit++) {
    const token = tokenAt(pass, unit / pieces);
    const part = changetype<Part>(token.part);
    const first = (unit % pieces) * PIECE;
    const end = min(l.indexTopk, first + PIECE);
    let to = pass.keys + <usize>((unit / pieces) * l.indexTopk + first) * bytes;
    for (let i = first; i < end; i++, to += bytes) {
      const key = load<i32>(chosenOf(pass, token) + floats(i));
      loadBoth(l, rowAt(l, part, key - part.position), to);
    }
  }
}

/** Blocks of heads of tokens. */
function attendUnits(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<MlaLayer>(pass.layer);
  const blocks = numHeadBlocks(l);
  for (let unit = index * pass.units; unit < min(pass.count * blocks, (index + 1) * pass.units); unit++)
    attendBlock(laneOf(pass, unit / blocks), unit % blocks);
}

function laneOf(pass: Pass, i: i32): Lane {
  const l = changetype<MlaLayer>(pass.layer);
  const lane = changetype<Lane>(here(laneAt));
  const width = cacheWidth(l);
  const stride = changetype<Matrix>(l.kvUp).stride;
  store<u32>(here(tableAt), <u32>(pass.keys + floats(i * l.indexTopk * width)));
  lane.queries = pass.latent + floats(i * l.numHeads * width);
  lane.queryTokenBytes = 0;
  lane.queryHeadBytes = floats(width);
  lane.numTokens = 1;
  lane.numHeads = l.numHeads;
  lane.position = l.indexTopk - 1;
  lane.window = 0;
  lane.sinks = 0;
  lane.width = width;
  lane.softmaxScale = l.softmaxScale;
  lane.blocks = here(tableAt);
  lane.blockSize = l.indexTopk;
  lane.form = IN_ROWS;
  lane.keyOffset = 0;
  lane.keyBytes = floats(width);
  lane.valueOffset = 0;
  lane.valueBytes = floats(width);
  lane.valueWidth = roundUp4(l.kvLoraRank);
  lane.valueDim = l.kvLoraRank;
  lane.dtype = F32;
  lane.out = pass.contexts + floats(i * stride);
  lane.outTokenBytes = 0;
  lane.outHeadBytes = floats(pass.count * stride);
  lane.scratch = scratchOf(pass);
  return lane;
}

function outOfLatent(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<MlaLayer>(pass.layer);
  for (let head = index * pass.units; head < min(l.numHeads, (index + 1) * pass.units); head++)
    headOutOfLatent(l, head, pass.contexts, pass.count, pass.attended);
}
