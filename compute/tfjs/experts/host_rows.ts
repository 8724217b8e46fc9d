/** Rows are picked and summed by the program: for backends whose memory is the program's. Shape suffixes: N rows, M rows of all experts, H hidden. */
import type { ReceivedRows } from '../../../base/received_rows.js';
import { rowsOf, toTensor } from '../ops/ops.js';
import { rowOfChoice } from '../../base/expert_groups.js';
import { inChoiceOrder, type ChoiceGroups, type RowExchange, type RowShape } from './row_exchange.js';
import type { Tensor2D } from '../../base/tensor.js';

/** All rows of all experts come back, and are summed here. */
export const hostRows: RowExchange = {
  spread(groups, { recvX }, { hidden, numTopk }) {
    // A single token goes to all its experts as it is; otherwise each expert gets its own rows.
    const single = recvX.length === hidden ? toTensor(recvX, [1, hidden]) : null;
    const { experts, starts, choices } = groups;
    return experts.map((_, g) => single ?? gather(recvX, choices.subarray(starts[g], starts[g + 1]), hidden, numTopk));
  },
  async collect(y_MH, groups, recv, shape) {
    const y = await rowsOf(y_MH).finally(() => y_MH.dispose());
    return recv.reduce === 'rank'
      ? sumPerRow(groups, y, recv, shape)
      : inChoiceOrder(y, groups, recv.recvTopkIdx.length, shape.hidden);
  },
};

function gather(recvX: Float32Array, choices: Int32Array, hidden: number, numTopk: number): Tensor2D {
  const rows = new Float32Array(choices.length * hidden);
  choices.forEach((choice, i) => {
    const row = Math.floor(choice / numTopk);
    rows.set(recvX.subarray(row * hidden, (row + 1) * hidden), i * hidden);
  });
  return toTensor(rows, [choices.length, hidden]);
}

/** Row n = Σ over its local choices, in ascending k, of weight × expert output; each addition rounds to float32. */
function sumPerRow(
  groups: ChoiceGroups,
  y: Float32Array,
  recv: ReceivedRows,
  { hidden, numTopk }: RowShape,
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
