import { expect } from 'chai';
import { Ffn } from '../../../../compute/tfjs/experts/ffn.js';
import { SharedExperts } from '../../../../compute/tfjs/experts/shared_experts.js';
import { rowsFrom, rowsOf, selectBackend, tensorMemory, toTensor } from '../../../../compute/tfjs/tf.js';
import { expertMatrices } from '../../../kit/kernels/kernel_rows.js';
import { ffnRef } from '../../../refs/ffn_ref.js';
import { linearRef } from '../../../refs/linear_ref.js';
import { isSameBits, largestDifference, randomFrom, randomValues } from '../../../refs/random.js';

const [HIDDEN, INTERMEDIATE, NUM_ROWS] = [24, 20, 9];

describe('shared experts as tensors', () => {
  before(() => selectBackend('wasm'));

  it('are multiplied with the sigmoid of their gate, row by row, and leave no tensor behind', async () => {
    const { numTensors } = tensorMemory();
    const random = randomFrom(1);
    const weights = expertMatrices(HIDDEN, INTERMEDIATE, random);
    const [gate, x] = [randomValues(random, HIDDEN), randomValues(random, NUM_ROWS * HIDDEN, 2)];
    const shared = new SharedExperts(new Ffn(weights), toTensor(gate, [HIDDEN, 1]));
    const x_TH = toTensor(x, [NUM_ROWS, HIDDEN]);
    const y_TH = shared.forward(x_TH);
    const y = await rowsOf(y_TH);
    const logits = linearRef(x, gate, HIDDEN);
    for (let row = 0; row < NUM_ROWS; row++) {
      const [from, to] = [row * HIDDEN, (row + 1) * HIDDEN];
      const share = 1 / (1 + Math.exp(-logits[row]!));
      const expected = ffnRef(x.slice(from, to), weights).map((value) => share * value);
      expect(largestDifference(y.slice(from, to), expected)).to.be.below(1e-5);
      const row_1H = rowsFrom(x_TH, row, 1);
      const alone_1H = shared.forward(row_1H);
      expect(isSameBits(await rowsOf(alone_1H), y.slice(from, to)), `row ${row}`).to.equal(true);
      for (const tensor of [row_1H, alone_1H]) tensor.dispose();
    }
    for (const part of [x_TH, y_TH, shared]) part.dispose();
    expect(tensorMemory().numTensors).to.equal(numTensors);
  });
});
