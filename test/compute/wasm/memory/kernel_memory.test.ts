import { expect } from 'chai';
import { ExpertError } from '../../../../compute/base/errors.js';
import { KernelMemory, MAX_MEMORY_BYTES } from '../../../../compute/wasm/memory/kernel_memory.js';
import { errorOf } from '../../../kit/rejects.js';

const MIB = 2 ** 20;

describe('kernel memory', () => {
  it('hands out zeros at multiples of 64, also where something else was before', () => {
    const memory = new KernelMemory();
    const address = memory.allocate(1000);
    expect(address % 64).to.equal(0);
    memory.bytes(address, 1000).fill(7);
    memory.free(address);
    const again = memory.allocate(5000);
    expect(again).to.equal(address);
    expect(memory.bytes(again, 5000).every((byte) => byte === 0)).to.equal(true);
  });

  it('counts what is handed out, and grows only when nothing fits', () => {
    const memory = new KernelMemory();
    const address = memory.allocate(3 * MIB);
    expect(memory.usedBytes).to.equal(3 * MIB);
    const { reservedBytes } = memory;
    expect(reservedBytes).to.be.at.least(3 * MIB);
    for (let i = 0; i < 10; i++) {
      memory.free(address);
      expect(memory.usedBytes).to.equal(0);
      expect(memory.allocate(3 * MIB)).to.equal(address);
    }
    expect(memory.reservedBytes).to.equal(reservedBytes);
  });

  it('what is beyond the limit is OUT_OF_MEMORY with both numbers, and changes nothing', async () => {
    const memory = new KernelMemory(4 * MIB);
    const address = memory.allocate(2 * MIB);
    const { usedBytes, reservedBytes } = memory;
    const error = await errorOf(ExpertError, () => memory.allocate(3 * MIB));
    expect(error.code).to.equal('OUT_OF_MEMORY');
    expect(error.message).to.contain('3 MiB').and.contain('holds 2 MiB of 4 MiB');
    expect([memory.usedBytes, memory.reservedBytes]).to.deep.equal([usedBytes, reservedBytes]);
    expect(memory.allocate(MIB)).to.equal(address + 2 * MIB);
  });

  it('more than a memory can address is OUT_OF_MEMORY', async () => {
    const error = await errorOf(ExpertError, () => new KernelMemory(2 ** 40).allocate(MAX_MEMORY_BYTES));
    expect(error.code).to.equal('OUT_OF_MEMORY');
    expect(error.message).to.contain('4096 MiB');
  });

  it('what is copied out is memory of its own, which text decoders, digests and sockets take', () => {
    const memory = new KernelMemory();
    const address = memory.allocate(64);
    memory.floats(address, 3).set([1, 2, 3]);
    const copied = memory.copyOut(address, 3);
    expect(copied.buffer).to.be.an.instanceof(ArrayBuffer);
    memory.allocate(64 * MIB); // grows: the buffer of the memory is another object then
    expect([...copied]).to.deep.equal([...memory.copyOut(address, 3)]);
  });

  it('giving back what is not handed out is refused', async () => {
    const memory = new KernelMemory();
    const address = memory.allocate(1);
    memory.free(address);
    expect((await errorOf(ExpertError, () => memory.free(address))).code).to.equal('INVALID_ARGUMENT');
    expect((await errorOf(ExpertError, () => memory.free(address + 4))).code).to.equal('INVALID_ARGUMENT');
  });

  it('addresses beyond 2 GiB are as good as others', () => {
    const memory = new KernelMemory();
    const low = memory.allocate(2 ** 31 + MIB); // reserved, never touched
    const x = memory.allocate(64);
    expect(x).to.be.above(2 ** 31);
    memory.floats(x, 4).set([0, 1, -1, 2]);
    memory.kernels.exp(x, 4, x + 16);
    expect(memory.floats(x + 16, 4)[1]).to.equal(Math.fround(Math.E));
    memory.free(low);
    memory.free(x);
    expect(memory.usedBytes).to.equal(0);
  });
});
