import { expect } from 'chai';
import { uniform } from '../../../../base/philox.js';
import { randomConfig } from '../../../../lib/model/random_config.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { layerGroups, MAX_ROWS, RowWatch, type LayerRows } from '../../../../lib/rewrite/scaling/expert_rows.js';

const SIZES = { layers: 4, denseLayers: 0, hidden: 8, experts: 4, topk: 2, intermediate: 32, heads: 2, vocab: 64 };
const SPEC = modelSpecOf(randomConfig('qwen3_moe', { ...SIZES, dtype: 'BF16' }));
const [NUM_PIECES, PIECE] = [6, 100];

/** A text of pieces that are read beside each other; `order`: whose token is next. */
function watched(order: (piece: number, position: number) => number): LayerRows[] {
  const watch = new RowWatch(SPEC, [1, 3]);
  const pieces = Array.from({ length: NUM_PIECES }, () => watch.piece());
  const tokens = pieces.flatMap(({ hook }, piece) =>
    Array.from({ length: PIECE }, (_, position) => ({ hook, piece, position })),
  );
  for (const { hook, piece, position } of tokens.sort(
    (a, b) => order(a.piece, a.position) - order(b.piece, b.position),
  )) {
    for (const layer of [1, 3]) {
      const place = { sequence: piece, request: null, layer, position, tokenId: 1 };
      const values = Float32Array.from({ length: 8 }, (_, h) => uniform(layer, piece * PIECE + position, h) - 0.5);
      const experts = Int32Array.of(position % 3, layer === 3 ? 3 : -1);
      void hook.onEvent({ ...place, point: 'moeInput', values });
      void hook.onEvent({ ...place, point: 'routing', experts, weights: Float32Array.of(0.75, 0.25) });
    }
  }
  for (const { done } of pieces) done();
  return watch.seen();
}

describe('rows of experts', () => {
  it('are the same whatever is read beside what: of each expert some, drawn over the whole text', () => {
    const inOrder = watched((piece, position) => piece * PIECE + position);
    const inTurns = watched((piece, position) => position * NUM_PIECES + piece);
    expect(inTurns).to.deep.equal(inOrder);
    const [first, second] = inOrder;
    expect(first!.rows_E.map(({ length }) => length)).to.deep.equal([MAX_ROWS, MAX_ROWS, MAX_ROWS, 0]);
    expect(second!.rows_E.map(({ length }) => length)).to.deep.equal([MAX_ROWS, MAX_ROWS, MAX_ROWS, MAX_ROWS]);
    expect(second!.rows_E[3]!.every(({ weight }) => weight === 0.25)).to.equal(true);
    for (const sum of first!.sums_H) expect(sum / (NUM_PIECES * PIECE)).to.be.within(0.2, 0.3);
  });

  it('of as many layers are kept at a time as fit, and of one where none does', () => {
    const bytesOfLayer = 4 * 8 * 4 * MAX_ROWS;
    expect(layerGroups(SPEC, [0, 1, 2, 3], 1e6, 2 * bytesOfLayer)).to.deep.equal([
      [0, 1],
      [2, 3],
    ]);
    expect(layerGroups(SPEC, [0, 1, 3], 1e6, 1)).to.deep.equal([[0], [1], [3]]);
    expect(layerGroups(SPEC, [0, 1, 3], 10, 2 * bytesOfLayer)).to.deep.equal([[0, 1, 3]]);
  });
});
