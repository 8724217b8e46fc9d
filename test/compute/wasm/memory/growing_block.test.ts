import { expect } from 'chai';
import { ExpertError } from '../../../../compute/base/errors.js';
import { GrowingBlock } from '../../../../compute/wasm/memory/growing_block.js';
import { PLAIN_KERNELS } from '../../../../compute/wasm/memory/kernel_settings.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { errorOf } from '../../../kit/rejects.js';

const MIB = 2 ** 20;

describe('a block that grows', () => {
  it('stays where it is while it suffices, and grows by half where there is room', () => {
    const block = new GrowingBlock(new KernelMemory(8 * MIB));
    const first = block.reserve(MIB);
    expect(block.reserve(MIB / 2)).to.equal(first);
    block.reserve(MIB + 1);
    expect(block.numBytes).to.equal(1.5 * MIB);
    block.dispose();
    expect([block.address, block.numBytes]).to.deep.equal([0, 0]);
  });

  it('grows by what is needed where half as much again is promised to others', () => {
    const memory = new KernelMemory(8.5 * MIB, PLAIN_KERNELS, null, 6.5 * MIB);
    const block = new GrowingBlock(memory);
    block.reserve(MIB);
    block.reserve(1.25 * MIB);
    expect(block.numBytes).to.equal(1.5 * MIB);
    block.reserve(1.75 * MIB);
    expect(block.numBytes).to.equal(1.75 * MIB);
    const promised = memory.allocate(6 * MIB);
    expect(promised).to.be.above(0);
  });

  it('grows by what is needed where half as much again does not fit, and fails beyond that without keeping anything', async () => {
    const memory = new KernelMemory(3 * MIB);
    const block = new GrowingBlock(memory);
    block.reserve(2 * MIB);
    block.reserve(2.25 * MIB);
    expect(block.numBytes).to.equal(2.25 * MIB);
    const error = await errorOf(ExpertError, () => block.reserve(4 * MIB));
    expect(error.code).to.equal('OUT_OF_MEMORY');
    expect([block.numBytes, memory.usedBytes]).to.deep.equal([0, 0]);
  });
});
