import { expect } from 'chai';
import { ExpertError } from '../../../experts/errors.js';
import { expertRowBytes, numExpertRows } from '../../../experts/kernels/expert_rows.js';
import { KernelExpert } from '../../../experts/kernels/kernel_expert.js';
import { KernelMemory } from '../../../experts/kernels/kernel_memory.js';
import { RESIDENT_DTYPES } from '../../../experts/kernels/resident_dtype.js';
import { expertMatrices } from '../../kit/kernel_rows.js';
import { errorOf } from '../../kit/rejects.js';
import { isSameBits, randomFrom } from '../../refs/random.js';

const shape = { hidden: 40, intermediate: 21 };
const weights = expertMatrices(shape.hidden, shape.intermediate, randomFrom(1));

describe('expert in a kernel memory', () => {
  const memory = new KernelMemory(2 ** 20);
  afterEach(() => expect(memory.usedBytes, 'bytes left behind').to.equal(0));

  for (const dtype of RESIDENT_DTYPES) {
    it(`moved row by row, in pieces of any size, it is the same expert (${dtype})`, () => {
      const from = KernelExpert.from(memory, weights, dtype);
      const numRows = numExpertRows(shape);
      expect(from.rows(0, numRows).length).to.equal(expertRowBytes(shape, dtype, 0, numRows));
      for (const piece of [1, 7, 21, 22, 50, numRows]) {
        const to = new KernelExpert(memory, shape, dtype);
        for (let row = 0; row < numRows; row += piece) {
          const end = Math.min(row + piece, numRows);
          to.setRows(row, end, from.rows(row, end));
        }
        for (const name of ['gate', 'up', 'down'] as const)
          expect(isSameBits(to[name].toFloat32(), from[name].toFloat32()), name).to.equal(true);
        to.dispose();
      }
      from.dispose();
    });
  }

  it('rows are those of gate, then up, then down', () => {
    const expert = KernelExpert.from(memory, weights, 'f32');
    const all = Buffer.concat([weights.gate.bytes, weights.up.bytes, weights.down.bytes]);
    expect(all.equals(expert.rows(0, numExpertRows(shape)))).to.equal(true);
    expert.dispose();
  });

  it('rows that are not there, bytes that do not fit and unlike matrices are refused', async () => {
    const expert = KernelExpert.from(memory, weights, 'bf16');
    const refused: (() => unknown)[] = [
      () => expert.rows(0, numExpertRows(shape) + 1),
      () => expert.rows(-1, 1),
      () => expert.setRows(0, 2, new Uint8Array(80)),
      () => KernelExpert.from(memory, { ...weights, up: weights.down }, 'f32'),
      () => KernelExpert.from(memory, { ...weights, down: weights.up }, 'f32'),
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
    const before = memory.usedBytes;
    const expert = KernelExpert.from(memory, weights, 'int8');
    expect(memory.usedBytes - before).to.be.within(expert.numBytes, expert.numBytes + 3 * 64);
    expert.dispose();
    expert.dispose();
  });
});
