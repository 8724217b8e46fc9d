import { expect } from 'chai';
import { ExpertError } from '../../../compute/base/errors.js';
import { LoadMonitor } from '../../../experts/load/load_monitor.js';
import { errorOf } from '../../kit/rejects.js';

const counts = (monitor: LoadMonitor): number[][] => monitor.snapshot().map((layer) => [...layer]);

describe('load monitor', () => {
  it('counts choices per MoE layer and expert, −1 for nobody', () => {
    const monitor = new LoadMonitor(2, 4);
    monitor.record(0, Int32Array.of(0, 1, 3, 1, -1, -1));
    monitor.record(0, Int32Array.of(1, 0));
    monitor.record(1, Int32Array.of(2));
    expect(counts(monitor)).to.deep.equal([
      [2, 3, 0, 1],
      [0, 0, 1, 0],
    ]);
  });

  it('does not count choices whose replica is masked', () => {
    const monitor = new LoadMonitor(1, 3);
    monitor.record(0, Int32Array.of(0, 2, 2, 1, -1), Int32Array.of(4, -1, 5, -1, -1));
    expect(counts(monitor)).to.deep.equal([[1, 0, 1]]);
    expect(monitor.load_LE).to.deep.equal(monitor.snapshot());
  });

  it('adds the counts of others, as typed or plain arrays', () => {
    const [one, other] = [new LoadMonitor(1, 3), new LoadMonitor(1, 3)];
    one.record(0, Int32Array.of(0, 2));
    other.record(0, Int32Array.of(2));
    one.merge(other.snapshot());
    one.merge([[1, 1, 1]]);
    expect(counts(one)).to.deep.equal([[2, 1, 3]]);
    expect(counts(other)).to.deep.equal([[0, 0, 1]]);
  });

  it('a snapshot stays as it was, and reset forgets everything', () => {
    const monitor = new LoadMonitor(1, 2);
    monitor.record(0, Int32Array.of(1));
    const snapshot = monitor.snapshot();
    monitor.record(0, Int32Array.of(1));
    expect([...snapshot[0]!]).to.deep.equal([0, 1]);
    monitor.reset();
    expect(counts(monitor)).to.deep.equal([[0, 0]]);
    expect([...snapshot[0]!]).to.deep.equal([0, 1]);
  });

  it('refuses a layer that it does not have, with both numbers', async () => {
    const monitor = new LoadMonitor(2, 4);
    for (const act of [() => monitor.record(2, Int32Array.of(0)), () => monitor.merge([[1], [1], [1]])]) {
      const error = await errorOf(ExpertError, act);
      expect(error.code).to.equal('INVALID_ARGUMENT');
      expect(error.message).to.contain('MoE layer 2 of 2');
    }
  });
});
