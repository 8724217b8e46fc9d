/**
 * The experts that one rank holds, and running them on the rows that a dispatch brought.
 * Shape suffixes: N received rows, H hidden, I intermediate, K choices per token.
 */
import type { DispatchResult } from '../comm/all_to_all.js';
import { ExpertError } from './errors.js';
import { Ffn, type FfnWeights } from './ffn.js';
import { rowsFrom, rowsOf, stackRows, swiglu, tidy, toTensor, type Tensor2D } from './tf.js';

export interface ExpertShard {
  /** Puts an expert's weights into a slot of a layer. */
  add(layer: number, slot: number, weights: FfnWeights): void;
  /** Frees a slot. */
  remove(layer: number, slot: number): void;
  /** What `combine` takes: with `reduce: 'rank'` [N·H] weighted sums, with 'source' [M·H] one row per local choice. */
  forward(layer: number, recv: ReceivedRows): Promise<Float32Array>;
  /** Rows `from` … `to` − 1 of a slot's weights, as {@link Ffn.rows}. @throws ExpertError MISSING_EXPERT */
  rows(layer: number, slot: number, from: number, to: number): Promise<Float32Array[]>;
  /**
   * What a layer's slots hold from now on: an expert, which is the shard's then, or what a slot held so far. What no slot holds any more is freed.
   * @throws ExpertError MISSING_EXPERT for a slot that held nothing; then nothing changed
   */
  replace(layer: number, next: ReadonlyMap<number, Ffn | number>): void;
  stats(): { readonly numExperts: number };
  dispose(): void;
}

/** The rows that a dispatch brought. */
export type ReceivedRows = Pick<
  DispatchResult,
  'numRecvTokens' | 'recvX' | 'recvTopkIdx' | 'recvTopkWeights' | 'reduce'
>;

/** The (row, choice) pairs of one local expert, as indices into recvTopkIdx. */
interface ExpertRows {
  readonly expert: Ffn;
  readonly choices: number[];
}

export function createExpertShard({
  hidden,
  numTopk,
}: {
  readonly hidden: number;
  readonly numTopk: number;
}): ExpertShard {
  const layers = new Map<number, Map<number, Ffn>>();
  const held = (layer: number, slot: number): Ffn => {
    const expert = layers.get(layer)?.get(slot);
    if (expert !== undefined) return expert;
    throw new ExpertError('MISSING_EXPERT', `layer ${layer} holds no expert in slot ${slot}; check the placement`);
  };

  return {
    add(layer, slot, weights) {
      const slots = layers.get(layer) ?? new Map<number, Ffn>();
      layers.set(layer, slots);
      slots.get(slot)?.dispose();
      slots.set(slot, new Ffn(weights));
    },
    remove(layer, slot) {
      layers.get(layer)?.get(slot)?.dispose();
      layers.get(layer)?.delete(slot);
    },
    async rows(layer, slot, from, to) {
      return held(layer, slot).rows(from, to);
    },
    replace(layer, next) {
      const slots = new Map(
        [...next].map(([slot, expert]) => [slot, typeof expert === 'number' ? held(layer, expert) : expert]),
      );
      const kept = new Set(slots.values());
      for (const expert of layers.get(layer)?.values() ?? []) if (!kept.has(expert)) expert.dispose();
      layers.set(layer, slots);
    },
    async forward(layer, recv) {
      const groups = groupByExpert(layer, layers.get(layer), recv.recvTopkIdx);
      if (groups.length === 0) return new Float32Array(recv.reduce === 'rank' ? recv.recvX.length : 0);
      const y_MH = tidy(() => runExperts(groups, recv.recvX, hidden, numTopk));
      const y = await rowsOf(y_MH);
      y_MH.dispose();
      return recv.reduce === 'rank'
        ? sumPerRow(groups, y, recv, hidden, numTopk)
        : inChoiceOrder(groups, y, recv, hidden);
    },
    stats: () => ({ numExperts: [...layers.values()].reduce((total, slots) => total + slots.size, 0) }),
    dispose() {
      for (const slots of layers.values()) for (const expert of slots.values()) expert.dispose();
      layers.clear();
    },
  };
}

function groupByExpert(
  layer: number,
  slots: ReadonlyMap<number, Ffn> | undefined,
  recvTopkIdx: Int32Array,
): ExpertRows[] {
  const groups = new Map<number, ExpertRows>();
  for (let choice = 0; choice < recvTopkIdx.length; choice++) {
    const slot = recvTopkIdx[choice]!;
    if (slot < 0) continue;
    let group = groups.get(slot);
    if (group === undefined) {
      const expert = slots?.get(slot);
      if (expert === undefined) {
        throw new ExpertError('MISSING_EXPERT', `layer ${layer} holds no expert in slot ${slot}; check the placement`);
      }
      groups.set(slot, (group = { expert, choices: [] }));
    }
    group.choices.push(choice);
  }
  return [...groups.values()];
}

/** All rows of one expert in one matmul; the activation of all experts in one go. Rows come out group by group. */
function runExperts(groups: readonly ExpertRows[], recvX: Float32Array, hidden: number, numTopk: number): Tensor2D {
  // A single token goes to all its experts as it is; otherwise each expert gets its own rows.
  const single = recvX.length === hidden ? toTensor(recvX, [1, hidden]) : null;
  const expanded = groups.map(({ expert, choices }) =>
    expert.expand(single ?? gather(recvX, choices, hidden, numTopk)),
  );
  const activated_MI = swiglu(stackRows(expanded));
  let start = 0;
  const projected = groups.map(({ expert, choices }) => {
    const own_NI = rowsFrom(activated_MI, start, choices.length);
    start += choices.length;
    return expert.project(own_NI);
  });
  return stackRows(projected);
}

function gather(recvX: Float32Array, choices: readonly number[], hidden: number, numTopk: number): Tensor2D {
  const rows = new Float32Array(choices.length * hidden);
  choices.forEach((choice, i) => {
    const row = Math.floor(choice / numTopk);
    rows.set(recvX.subarray(row * hidden, (row + 1) * hidden), i * hidden);
  });
  return toTensor(rows, [choices.length, hidden]);
}

/** Where each choice's row lies in the experts' output: choice → row of y. */
function rowOfChoice(groups: readonly ExpertRows[], numChoices: number): Int32Array {
  const rows = new Int32Array(numChoices).fill(-1);
  let next = 0;
  for (const { choices } of groups) for (const choice of choices) rows[choice] = next++;
  return rows;
}

/** Row n = Σ over its local choices, in ascending k, of weight × expert output; each addition rounds to float32. */
function sumPerRow(
  groups: readonly ExpertRows[],
  y: Float32Array,
  recv: ReceivedRows,
  hidden: number,
  numTopk: number,
): Float32Array {
  const out = new Float32Array(recv.numRecvTokens * hidden);
  const rows = rowOfChoice(groups, recv.recvTopkIdx.length);
  for (let choice = 0; choice < rows.length; choice++) {
    if (rows[choice]! < 0) continue;
    const weight = recv.recvTopkWeights[choice]!;
    const from = rows[choice]! * hidden;
    const to = Math.floor(choice / numTopk) * hidden;
    for (let h = 0; h < hidden; h++) out[to + h]! += weight * y[from + h]!;
  }
  return out;
}

/** One row per local choice, in the order of recvTopkIdx. */
function inChoiceOrder(
  groups: readonly ExpertRows[],
  y: Float32Array,
  recv: ReceivedRows,
  hidden: number,
): Float32Array {
  const out = new Float32Array(y.length);
  let next = 0;
  for (const row of rowOfChoice(groups, recv.recvTopkIdx.length)) {
    if (row < 0) continue;
    out.set(y.subarray(row * hidden, (row + 1) * hidden), next);
    next += hidden;
  }
  return out;
}
