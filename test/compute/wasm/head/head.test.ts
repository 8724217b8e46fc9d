import { expect } from 'chai';
import { Descriptor } from '../../../../compute/wasm/memory/descriptor.js';
import { KernelNorm } from '../../../../compute/wasm/memory/kernel_norm.js';
import { HEAD } from '../../../../compute/wasm/memory/layouts.js';
import { CHOICE_DTYPES, padded } from '../../../../compute/wasm/memory/resident_dtype.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';
import { linearRef, normRef } from '../../../refs/attention_ref.js';
import { randomFrom, randomValues } from '../../../refs/random.js';

const EPS = 1e-5;

describe('embedding and logits kernels', () => {
  const values = new KernelValues();
  afterEach(() => values.free());

  for (const dtype of CHOICE_DTYPES) {
    for (const hidden of [1, 32, 50]) {
      it(`embed gives the rows of these tokens, with zeros behind them: ${dtype}, ${hidden} columns`, () => {
        const matrix = values.matrix(randomValues(randomFrom(1), 7 * hidden), 7, hidden, dtype);
        const tokens = [6, 0, 3, 3];
        const x = values.floats(tokens.length * padded(hidden));
        values.memory.kernels.embed(values.words(tokens), tokens.length, matrix.address, x, 1);
        const rows = matrix.toFloat32();
        const zeros = new Array<number>(padded(hidden) - hidden).fill(0);
        const expected = tokens.flatMap((token) => [...rows.subarray(token * hidden, (token + 1) * hidden), ...zeros]);
        const signless = (numbers: Iterable<number>): number[] => Array.from(numbers, (value) => value + 0); // a scale of int4 may be negative, and so is its zero
        expect(signless(values.memory.floats(x, expected.length))).to.deep.equal(signless(expected));
      });
    }
  }

  it('embed multiplies with its factor', () => {
    const matrix = values.matrix(randomValues(randomFrom(1), 7 * 50), 7, 50);
    const x = values.floats(2 * padded(50));
    values.memory.kernels.embed(values.words([3, 5]), 2, matrix.address, x, 12);
    const rows = values.readRows(x, 2, 50, padded(50));
    const expected = [...matrix.toFloat32().subarray(150, 200), ...matrix.toFloat32().subarray(250, 300)];
    expect([...rows]).to.deep.equal(expected.map((value) => Math.fround(12 * value)));
  });

  it('logitsOf is the head of the normed rows, asks for memory first, and writes nothing but logits', () => {
    const [hidden, vocab, stride] = [50, 37, 40];
    const random = randomFrom(2);
    const [weight, matrix, x] = [50, vocab * hidden, 5 * hidden].map((count) => randomValues(random, count));
    const norm = new KernelNorm(values.memory, { weight: weight!, bias: null, eps: EPS });
    const bias = randomValues(random, vocab);
    const fields = {
      norm: norm.address,
      bias: values.floats(bias),
      matrix: values.matrix(matrix!, vocab, hidden).address,
      hiddenSize: hidden,
    };
    const head = new Descriptor(values.memory, HEAD, fields);
    const rows = [4, 0, 4];
    const [from, logits] = [values.rows(x!, hidden, padded(hidden)), values.floats(rows.length * stride)];
    const run = (scratch: number, bytes: number): number => {
      const { logitsOf } = values.memory.kernels;
      return logitsOf(head.address, from, values.words(rows), rows.length, logits, stride, scratch, bytes);
    };
    const needed = run(0, 0);
    expect([...values.memory.floats(logits, rows.length * stride)].every(Number.isNaN)).to.equal(true);
    expect(run(values.floats(needed / 4), needed - 1)).to.equal(needed);
    expect(run(values.floats(needed / 4), needed)).to.equal(0);
    rows.forEach((row, i) => {
      const normed = normRef(weight!, [...x!.subarray(row * hidden, (row + 1) * hidden)], EPS);
      const got = values.memory.floats(logits + 4 * i * stride, stride);
      linearRef(matrix!, normed).forEach((value, v) => expect(got[v]).to.be.closeTo(value + bias[v]!, 1e-5));
      expect([...got.subarray(vocab)].every(Number.isNaN)).to.equal(true);
    });
    head.dispose();
    norm.dispose();
  });
});
