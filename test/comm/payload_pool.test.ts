import { expect } from 'chai';
import { PayloadPool } from '../../comm/payload_pool.js';

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
});
