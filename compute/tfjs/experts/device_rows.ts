/**
 * Rows are picked and summed by the backend: for one with a memory of its own, so that hidden states cross once per direction, whatever the number of choices.
 * Shape suffixes: N rows received, M rows of all experts, C most local choices of a row, H hidden.
 */
import type { ReceivedRows } from '../../../base/received_rows.js';
import { gatherRows, mul, rowsFrom, rowsOf, sumBlocks, tidy, toTensor } from '../ops/ops.js';
import { numPairsOf, rowOfChoice } from '../../base/expert_groups.js';
import { inChoiceOrder, type ChoiceGroups, type RowExchange, type RowShape } from './row_exchange.js';
import type { Tensor2D } from '../../base/tensor.js';

/** Received rows go up once; of the results only what `combine` takes comes back. */
export const deviceRows: RowExchange = {
  spread(groups, { recvX }, { hidden, numTopk }) {
    const x_NH = toTensor(recvX, [recvX.length / hidden, hidden]);
    const { experts, starts, choices } = groups;
    if (recvX.length === hidden) return experts.map(() => x_NH);
    const rows = choices.slice(0, numPairsOf(groups)).map((choice) => Math.floor(choice / numTopk));
    const spread_MH = gatherRows(x_NH, rows);
    return experts.map((_, g) => rowsFrom(spread_MH, starts[g]!, starts[g + 1]! - starts[g]!));
  },
  async collect(y_MH, groups, recv, shape) {
    const out = recv.reduce === 'rank' ? sumPerRow(y_MH, groups, recv, shape) : y_MH;
    if (out !== y_MH) y_MH.dispose();
    const values = await rowsOf(out).finally(() => out.dispose());
    return recv.reduce === 'rank' ? values : inChoiceOrder(values, groups, recv.recvTopkIdx.length, shape.hidden);
  },
};

/** Row n = Σ over its local choices of weight × expert output, [N,H]. */
function sumPerRow(y_MH: Tensor2D, groups: ChoiceGroups, recv: ReceivedRows, { numTopk }: RowShape): Tensor2D {
  const { numRecvTokens, recvTopkIdx, recvTopkWeights } = recv;
  const rowOf = rowOfChoice(groups, recvTopkIdx.length);
  const local = Array.from({ length: numRecvTokens }, (_, n) =>
    Array.from({ length: numTopk }, (_, k) => n * numTopk + k).filter((choice) => rowOf[choice]! >= 0),
  );
  const most = local.reduce((highest, { length }) => Math.max(highest, length), 0);
  const rows = new Int32Array(numRecvTokens * most);
  const weights = new Float32Array(rows.length);
  for (const [n, choices] of local.entries()) {
    // Places that are left get a row of the same token with weight 0: what isn't finite stays where it is.
    rows.fill(rowOf[choices[0] ?? -1] ?? 0, n * most, (n + 1) * most);
    for (const [i, choice] of choices.entries()) {
      rows[n * most + i] = rowOf[choice]!;
      weights[n * most + i] = recvTopkWeights[choice]!;
    }
  }
  return tidy(() => sumBlocks(mul(gatherRows(y_MH, rows), toTensor(weights, [rows.length, 1])), most));
}
