/** The attention part of a layer with multi-head latent attention (DeepSeek-V2, 2024): x += residual · attention(norm(x)). A layer's part of a cache block: mla_rows.as.ts. */
import { linear } from '../../linear/divided.as';
import { roundUp4 } from '../lane.as';
import { Matrix, padded } from '../../memory/memory.as';
import { absorbedBytes, attendAbsorbed } from './mla_absorbed.as';
import { attendChosen, denseBytes, denseStep, sparseBytes } from './mla_chosen.as';
import { MlaLayer, queryWidth } from './mla_fields.as';
import { indexFloats, projectIndex } from './mla_indexer.as';
import { attendNaive, naiveBytes } from './mla_naive.as';
import { rowAt, storeLatent } from './mla_rows.as';
import { applyNorm } from '../../linear/norm.as';
import { rope } from '../rope.as';
import { addRows, clearPadding, scaleRows, spreadHeads } from '../../linear/rows.as';
import { NAIVE, Part, Step, bytesOf, floats, lacking, partOf } from '../step.as';

/** Returns 0, or the bytes of scratch memory that it needs, and then nothing changed. */
export function mlaLayer(layer: usize, step: usize): usize {
  const l = changetype<MlaLayer>(layer);
  const s = changetype<Step>(step);
  // 1. Scratch memory.
  const numTokens = s.numTokens;
  const hiddenStride = padded(l.hiddenSize);
  const compressedStride = l.qDown == 0 ? 0 : changetype<Matrix>(l.q).stride;
  const rowStride = roundUp4(l.kvLoraRank + l.ropeDim);
  const attendedStride = changetype<Matrix>(l.output).stride;
  const compressed = s.scratch + floats(numTokens * hiddenStride);
  const queries = compressed + floats(numTokens * compressedStride);
  const rows = queries + floats(numTokens * l.numHeads * queryWidth(l));
  const attended = rows + floats(numTokens * rowStride);
  const index = attended + floats(numTokens * attendedStride);
  const dense = index + floats(numTokens * indexFloats(l));
  const rest = dense + denseBytes(l, s);
  const perQuery = l.numHeads * queryWidth(l) + indexFloats(l);
  const perToken = hiddenStride + compressedStride + perQuery + rowStride + attendedStride;
  const forms = max<u64>(max<u64>(absorbedBytes(l, s), naiveBytes(l, s)), sparseBytes(l, s));
  const needed = bytesOf(numTokens, perToken) + <u64>denseBytes(l, s) + forms;
  if (needed > <u64>s.scratchBytes) return lacking(needed);
  // 2. Projections.
  const normed = s.scratch;
  applyNorm(s.x, numTokens, l.hiddenSize, hiddenStride, l.norm, normed, hiddenStride);
  clearPadding(normed, numTokens, l.hiddenSize, hiddenStride);
  projectQueries(l, s, normed, compressed, queries);
  linear(normed, numTokens, l.kvDown, rows, rowStride);
  appendRows(l, s, rows, rowStride);
  if (l.indexQuery != 0) projectIndex(l, s, normed, compressed, index);
  // 3. Attention.
  clearPadding(attended, numTokens, l.numHeads * l.valueDim, attendedStride);
  attendParts(l, denseStep(l, s, dense), queries, attended, rest);
  attendChosen(l, s, queries, index, attended, rest);
  // 4. Back into x.
  linear(attended, numTokens, l.output, normed, hiddenStride);
  scaleRows(normed, numTokens, l.hiddenSize, hiddenStride, l.residual);
  addRows(s.x, normed, numTokens, l.hiddenSize, hiddenStride);
  return 0;
}

function projectQueries(l: MlaLayer, s: Step, normed: usize, compressed: usize, queries: usize): void {
  const width = queryWidth(l);
  const stride = l.numHeads * width;
  if (l.qDown == 0) linear(normed, s.numTokens, l.q, queries, stride);
  else {
    const rank = changetype<Matrix>(l.qDown).rows;
    const compressedStride = changetype<Matrix>(l.q).stride;
    linear(normed, s.numTokens, l.qDown, compressed, compressedStride);
    applyNorm(compressed, s.numTokens, rank, compressedStride, l.qNorm, compressed, compressedStride);
    clearPadding(compressed, s.numTokens, rank, compressedStride);
    linear(compressed, s.numTokens, l.q, queries, stride);
  }
  spreadHeads(queries, s.numTokens, l.numHeads, l.nopeDim + l.ropeDim, width);
  rope(queries + floats(l.nopeDim), s.numTokens, stride, l.numHeads, width, s.angles, l.ropeDim, l.ropeLayout);
}

/** rows: [latent | key] of each token. */
function appendRows(l: MlaLayer, s: Step, rows: usize, rowStride: i32): void {
  applyNorm(rows, s.numTokens, l.kvLoraRank, rowStride, l.kvNorm, rows, rowStride);
  rope(rows + floats(l.kvLoraRank), s.numTokens, rowStride, 1, 0, s.angles, l.ropeDim, l.ropeLayout);
  for (let i = 0; i < s.numParts; i++) {
    const part = partOf(s, i);
    for (let t = 0; t < part.numTokens; t++)
      storeLatent(l, rows + floats((part.rowStart + t) * rowStride), rowAt(l, part, t));
  }
}

/** Neighbouring absorbed parts go together: kv_b_proj is read once for all of them. */
function attendParts(l: MlaLayer, s: Step, queries: usize, attended: usize, scratch: usize): void {
  let first = 0;
  while (first < s.numParts) {
    const part = partOf(s, first);
    let last = first + 1;
    if (part.form == NAIVE) attendNaive(l, s, part, queries, attended, scratch);
    else {
      while (last < s.numParts && follows(partOf(s, last - 1), partOf(s, last))) last++;
      attendAbsorbed(l, s, first, last, queries, attended, scratch);
    }
    first = last;
  }
}

function follows(before: Part, part: Part): bool {
  return part.form != NAIVE && part.rowStart == before.rowStart + before.numTokens;
}
