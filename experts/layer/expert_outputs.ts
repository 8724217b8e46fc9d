/**
 * What single experts make of rows, unweighted: computed once more, for those who look.
 * Shape suffixes: n rows, K choices per row, H hidden.
 * Why: docs/decisions/hooks.md#expert-outputs-are-computed-once-more
 */
import type { AllToAll } from '../../comm/all_to_all/all_to_all.js';
import type { StepTag } from '../../comm/mesh/frame.js';
import { floatRows, type FloatRows } from '../../base/float_rows.js';
import type { ExpertShard } from './shard.js';
import type { WantedOutputs } from './moe_look.js';

/** Rows of a layer and the choices that were made for them, on one rank. */
export interface ChosenRows {
  /** [T, H] normed. */
  readonly x: FloatRows;
  /** [T·K] physical experts, −1 = none. */
  readonly topkIdx: Int32Array;
}

/** What computes, and where in the step. */
export interface OutputsPlace {
  readonly ep: AllToAll;
  readonly shard: ExpertShard;
  /** Of the first exchange: later ones count on. */
  readonly tag: StepTag;
  readonly signal: AbortSignal | undefined;
}

/**
 * [n·K·H] of the wanted rows. Every rank calls it with as many exchanges, also without rows.
 * @throws as dispatch, shard and combine
 */
export async function expertOutputs(
  { rows, numExchanges }: WantedOutputs,
  chosen: ChosenRows,
  place: OutputsPlace,
): Promise<Float32Array> {
  const { x } = chosen;
  const choices = choicesOf(rows, chosen);
  const inputs = copiesOf(x, rows, choices.length);
  const outputs = new Float32Array(choices.length * x.hidden);
  for (let i = 0; i < numExchanges; i++) {
    const [from, to] = [i, i + 1].map((n) => Math.ceil((n * choices.length) / numExchanges)) as [number, number];
    const topkIdx = aloneIn(choices.subarray(from, to), chosen);
    const own = floatRows(inputs.subarray(from * x.hidden, to * x.hidden), x.hidden);
    const into = floatRows(outputs.subarray(from * x.hidden, to * x.hidden), x.hidden);
    await exchange({ x: own, topkIdx }, into, place, i);
  }
  return outputs;
}

/** Physical experts of the rows, [n·K]. */
function choicesOf(rows: readonly number[], { x, topkIdx }: ChosenRows): Int32Array {
  const numTopk = x.numRows === 0 ? 0 : topkIdx.length / x.numRows;
  const choices = new Int32Array(rows.length * numTopk);
  for (const [i, row] of rows.entries()) {
    choices.set(topkIdx.subarray(row * numTopk, (row + 1) * numTopk), i * numTopk);
  }
  return choices;
}

/** Each row once for each of its choices. */
function copiesOf(x: FloatRows, rows: readonly number[], numChoices: number): Float32Array {
  const { hidden, stride } = x;
  const copies = new Float32Array(numChoices * hidden);
  const view = x.view();
  const numTopk = rows.length === 0 ? 0 : numChoices / rows.length;
  for (let choice = 0; choice < numChoices; choice++) {
    const at = rows[Math.floor(choice / numTopk)]! * stride;
    copies.set(view.subarray(at, at + hidden), choice * hidden);
  }
  return copies;
}

/** Each choice as the only one of a row, [choices·K]: its weighted sum is what the expert made. */
function aloneIn(choices: Int32Array, { x, topkIdx }: ChosenRows): Int32Array {
  const numTopk = x.numRows === 0 ? 0 : topkIdx.length / x.numRows;
  const alone = new Int32Array(choices.length * numTopk).fill(-1);
  choices.forEach((physical, i) => (alone[i * numTopk] = physical));
  return alone;
}

async function exchange(
  { x, topkIdx }: ChosenRows,
  y: FloatRows,
  { ep, shard, tag, signal }: OutputsPlace,
  i: number,
): Promise<void> {
  const unweighted = ep.unweighted();
  const topkWeights = new Float32Array(topkIdx.length).fill(1);
  const { layer } = tag;
  const home = unweighted.alone;
  if (home !== null) {
    const out = await shard.forward(layer, home.dispatch(layer, x, topkIdx, topkWeights));
    home.combine(out, topkIdx, topkWeights, () => y);
    return;
  }
  const own = { ...tag, microBatch: tag.microBatch + i };
  const recv = await unweighted.dispatch({ x, topkIdx, topkWeights, tag: own, signal });
  const out = await shard.forward(layer, recv);
  recv.release();
  await unweighted.startCombine(out, recv.handle, y).hook();
}
