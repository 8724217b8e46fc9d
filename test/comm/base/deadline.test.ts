import { expect } from 'chai';
import { checkTimeout, Deadline, DeadlineWheel } from '../../../comm/base/deadline.js';
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

describe('deadlines that share a timer', () => {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const after = (ms: number): Promise<void> => new Promise((resolve) => new Deadline(ms, resolve));

  it('expire once each, in the order in which they began, and none that was cancelled', async () => {
    const wheel = new DeadlineWheel();
    const expired: number[] = [];
    await new Promise<void>((resolve) => {
      const deadlines = [0, 1, 2, 3].map((i) => wheel.start(20, () => expired.push(i)));
      wheel.start(20, resolve);
      deadlines[1]!.cancel();
      deadlines[1]!.cancel();
    });
    expect(expired).to.deep.equal([0, 2, 3]);
    await after(40);
    expect(expired).to.deep.equal([0, 2, 3]);
    wheel.close();
  });

  it('have ten whole ticks each, also one that begins in the middle of a tick', async () => {
    const wheel = new DeadlineWheel();
    wheel.start(600, () => undefined).cancel(); // its timer goes on for a while
    block(30);
    let isOver = false;
    const done = new Promise<void>((resolve) => {
      wheel.start(600, () => {
        isOver = true;
        resolve();
      });
    });
    // Longer than the whole time, and yet one tick per turn of the event loop: the one that had begun and nine more.
    for (let i = 0; i < 10; i++) {
      block(70);
      await turn();
      expect(isOver).to.equal(false);
    }
    await done;
    wheel.close();
  });

  it('start no timer per call: one goes on while calls come and go, and stops when none came', async () => {
    const wheel = new DeadlineWheel();
    const before = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const first = wheel.start(50, () => expect.fail('expired'));
    for (let call = 0; call < 1000; call++) wheel.start(50, () => expect.fail('expired')).cancel();
    const during = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    expect(during - before).to.equal(1);
    first.cancel();
    const idle = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    expect(idle - before, 'a timer that nobody waits for keeps no process alive').to.equal(0);
    await after(60);
    await turn();
    expect(wheel).to.have.nested.property('byLength.size', 0);
  });
});
