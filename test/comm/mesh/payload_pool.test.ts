import { expect } from 'chai';
import { PayloadPool } from '../../../comm/mesh/payload_pool.js';

describe('payload memory', () => {
  it('has exactly the size that was asked for, aligned for float32', () => {
    const pool = new PayloadPool(1e9);
    for (const numBytes of [1, 3, 1023, 1024, 1025, 16_384, 100_001, 1 << 20, (1 << 20) + 1]) {
      const payload = pool.allocate(numBytes);
      expect([payload.byteLength, payload.byteOffset % 4]).to.deep.equal([numBytes, 0]);
      pool.release(payload);
    }
  });

  it('is used again once it was given back, also for a size nearby, and never before', () => {
    const pool = new PayloadPool(1e9);
    const first = pool.allocate(100_000);
    const second = pool.allocate(100_000);
    expect(second.buffer).to.not.equal(first.buffer);
    pool.release(first);
    expect(pool.allocate(99_000).buffer).to.equal(first.buffer);
    expect(pool.allocate(100_000).buffer).to.not.equal(first.buffer);
  });

  it('is kept up to its bound, and old sizes make room for new ones', () => {
    const pool = new PayloadPool(10_000);
    const large = pool.allocate(20_000);
    pool.release(large);
    expect(pool.allocate(20_000).buffer).to.not.equal(large.buffer);
    const [a, b] = [pool.allocate(8192), pool.allocate(4096)];
    pool.release(a);
    pool.release(b);
    expect(pool.allocate(4096).buffer).to.equal(b.buffer);
    expect(pool.allocate(8192).buffer).to.not.equal(a.buffer);
  });

  it('keeps what it has when something comes that is too large, or one too many of its size', () => {
    const pool = new PayloadPool(10_000);
    const [a, b, c] = [pool.allocate(4096), pool.allocate(4096), pool.allocate(4096)];
    for (const payload of [a, b, c, pool.allocate(20_000)]) pool.release(payload);
    expect([pool.allocate(4096).buffer, pool.allocate(4096).buffer]).to.have.members([a.buffer, b.buffer]);
    expect(pool.allocate(4096).buffer).to.not.equal(c.buffer);
  });

  it('gives what it would never keep in its exact size', () => {
    const { buffer, byteOffset } = new PayloadPool(10_000).allocate(17_001);
    expect(buffer.byteLength - byteOffset).to.equal(17_001);
  });
});
