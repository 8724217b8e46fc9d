import { expect } from 'chai';
import { SWIGLU } from '../../../../compute/base/activation_spec.js';
import { ExpertError } from '../../../../compute/base/errors.js';
import { disposeFfn, ffnTensors } from '../../../../compute/tfjs/experts/ffn.js';
import { expertBytes, KernelExpert } from '../../../../compute/wasm/experts/kernel_expert.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { CHOICE_DTYPES } from '../../../../compute/wasm/memory/resident_dtype.js';
import { rowsOf, selectBackend } from '../../../../compute/tfjs/tf.js';
import { bytesBefore, numRowsOf, weightsOf } from '../../../../compute/base/weight_rows.js';
import { biasedMatrices, expertMatrices } from '../../../kit/kernels/kernel_rows.js';
import { errorOf } from '../../../kit/rejects.js';
import { isSameBits, randomFrom } from '../../../refs/random.js';

const shape = { hidden: 40, intermediate: 21 };
const weights = expertMatrices(shape.hidden, shape.intermediate, randomFrom(1));
const biased = biasedMatrices(shape.hidden, shape.intermediate, randomFrom(1));
const CLAMPED = { kind: 'clamped_swiglu', limit: 0.5, alpha: 1.7 } as const;

describe('expert in a kernel memory', () => {
  const memory = new KernelMemory(2 ** 20);
  afterEach(() => expect(memory.usedBytes, 'bytes left behind').to.equal(0));

  for (const [dtype, all] of CHOICE_DTYPES.flatMap((each) => [weights, biased].map((some) => [each, some] as const))) {
    const hasBias = all.biases !== undefined;
    it(`moved row by row, in pieces of any size, it is the same expert (${dtype}${hasBias ? ', with biases' : ''})`, async () => {
      const from = KernelExpert.from(memory, all, dtype);
      const typed = { ...shape, dtype, hasBias };
      const numRows = numRowsOf(typed);
      for (const piece of [1, 7, 21, 22, 50, numRows]) {
        const moved: Uint8Array[] = [];
        for (let row = 0; row < numRows; row += piece) {
          const rows = await from.rows(row, Math.min(row + piece, numRows));
          expect(Buffer.concat(rows).length).to.equal(
            bytesBefore(typed, Math.min(row + piece, numRows)) - bytesBefore(typed, row),
          );
          moved.push(...rows);
        }
        const to = KernelExpert.from(memory, weightsOf(typed, Buffer.concat(moved)), dtype);
        for (const name of ['gate', 'up', 'down'] as const)
          expect(isSameBits(to[name].toFloat32(), from[name].toFloat32()), name).to.equal(true);
        expect(await to.rows(0, numRows)).to.deep.equal(await from.rows(0, numRows));
        to.dispose();
      }
      from.dispose();
    });
  }

  it('rows are those of gate, then up, then down, then the biases', async () => {
    const expert = KernelExpert.from(memory, biased, 'f32');
    const { gate, up, down, biases } = biased;
    const all = Buffer.concat([gate.bytes, up.bytes, down.bytes, new Uint8Array(biases!.buffer)]);
    const rows = await expert.rows(0, numRowsOf({ ...shape, hasBias: true }));
    expect(all.equals(Buffer.concat(rows))).to.equal(true);
    expert.dispose();
  });

  it('its tensors are those that a tensor expert is made of', async () => {
    await selectBackend('wasm');
    const expert = KernelExpert.from(memory, biased, 'f32');
    const [tensors, expected] = [expert.tensors(), ffnTensors(biased)];
    for (const name of ['gateUp_2I', 'down_H'] as const)
      expect(await rowsOf(tensors.biases![name])).to.deep.equal(await rowsOf(expected.biases![name]));
    for (const name of ['gateUp_H2I', 'down_IH'] as const) {
      expect(tensors[name].shape).to.deep.equal(expected[name].shape);
      expect(isSameBits(await rowsOf(tensors[name]), await rowsOf(expected[name])), name).to.equal(true);
    }
    for (const all of [tensors, expected]) disposeFfn(all);
    expert.dispose();
  });

  it('rows that are not there, bytes that do not fit and unlike matrices are refused', async () => {
    const expert = KernelExpert.from(memory, weights, 'bf16');
    const refused: (() => unknown)[] = [
      () => expert.rows(0, 2 * shape.intermediate + shape.hidden + 1),
      () => expert.rows(-1, 1),
      () => KernelExpert.from(memory, { ...weights, up: weights.down }, 'f32'),
      () => KernelExpert.from(memory, { ...weights, down: weights.up }, 'f32'),
      () => KernelExpert.from(memory, { ...biased, biases: biased.biases!.slice(1) }, 'f32'),
      () => new KernelExpert(memory, { hidden: 0, intermediate: 3 }, 'f32'),
    ];
    for (const act of refused) expect((await errorOf(ExpertError, act)).code).to.equal('INVALID_ARGUMENT');
    expert.dispose();
  });

  it('one that does not fit leaves nothing behind', async () => {
    const error = await errorOf(ExpertError, () => new KernelExpert(memory, { hidden: 500, intermediate: 300 }, 'f32'));
    expect(error.code).to.equal('OUT_OF_MEMORY');
  });

  it('numBytes is what it takes, and disposing twice gives it back once', () => {
    for (const [all, activation] of [
      [weights, SWIGLU] as const,
      [weights, CLAMPED] as const,
      [biased, CLAMPED] as const,
    ]) {
      const before = memory.usedBytes;
      const expert = KernelExpert.from(memory, all, 'int8', activation);
      const taken = memory.usedBytes - before;
      expect(taken).to.be.within(expert.numBytes, expert.numBytes + 5 * 64);
      expect(taken).to.equal(expertBytes(expert.shape, 'int8', activation));
      expert.dispose();
      expert.dispose();
    }
  });
});
