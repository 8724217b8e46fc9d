import { expect } from 'chai';
import { checkTimeout, Deadline } from '../../../comm/base/deadline.js';
import { asRank, createLocalMeshes } from '../../../comm/index.js';
import { thrown } from '../../kit/errors.js';

/** Keeps the event loop busy, as compute does. */
function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe('a deadline', () => {
  it('expires once', async () => {
    let numExpired = 0;
    await new Promise<void>((resolve) => {
      new Deadline(20, () => {
        numExpired++;
        resolve();
      });
    });
    expect(numExpired).to.equal(1);
  });

  it('never expires after it was cancelled', async () => {
    const cancelled = new Deadline(10, () => expect.fail('expired'));
    cancelled.cancel();
    cancelled.cancel();
    await new Promise<void>((resolve) => new Deadline(30, resolve));
  });

  it('does not count time in which the own event loop was blocked', async () => {
    const [a, b] = createLocalMeshes(2);
    const key = { phase: 'dispatch', step: 0, layer: 0, microBatch: 0, epoch: 0 } as const;
    const received = b!.receive(asRank(0), key, { timeoutMs: 100 });
    block(300);
    const rows = { numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes: 0 } as const;
    a!.send(asRank(1), { ...key, ...rows, source: asRank(0), destination: asRank(1) }, []);
    expect((await received).header.source).to.equal(0);
    await Promise.all([a!.close(), b!.close()]);
  });

  it('is refused when a timer could not count it', () => {
    for (const timeoutMs of [0, -5, NaN, Infinity, 2 ** 31]) thrown(() => checkTimeout(timeoutMs), 'INVALID_ARGUMENT');
    expect(checkTimeout(2 ** 31 - 1)).to.equal(2 ** 31 - 1);
  });
});
