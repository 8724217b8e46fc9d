import { expect } from 'chai';
import type { InstanceView } from '../../../../../lib/cluster/base/instance_view.js';
import {
  countChangeOf,
  type CountSettings,
  type CountState,
} from '../../../../../lib/cluster/routing/moving/instance_count.js';
import { PATIENT } from '../../../../../lib/cluster/routing/moving/patience.js';
import { candidateOf, reportOf } from '../../../../kit/cluster/views.js';

const SETTINGS = { min: 1, max: 3, coolDownMs: 100 };

/** With 100 blocks, of which so many are held by so many requests. */
const busy = (id: string, numUsedBlocks: number, numRunning: number): InstanceView =>
  candidateOf(id, { numRequests: numRunning, load: reportOf(id, { numUsedBlocks, numRunning }) });

/** What is done within 100 ms of a load that stays. */
function changeOf(views: readonly InstanceView[], settings: CountSettings = SETTINGS): unknown {
  let state: CountState = PATIENT;
  for (let nowMs = 0; nowMs < 100; nowMs += 10) {
    const { change, state: after } = countChangeOf(views, state, nowMs, settings);
    expect(change, 'it waits').to.equal(null);
    state = after;
  }
  return countChangeOf(views, state, 100, settings).change;
}

describe('countChangeOf', () => {
  it('adds one where requests have little room, up to the most', () => {
    const views = [busy('a', 90, 2), busy('b', 80, 4)];
    expect(changeOf(views)).to.deep.equal({ kind: 'add', freeness: 5 });
    expect(changeOf([...views, busy('c', 90, 2)])).to.equal(null);
  });

  it('takes the newest where they have much, down to the least', () => {
    expect(changeOf([busy('a', 0, 0), busy('b', 10, 1)])).to.deep.equal({
      kind: 'remove',
      instance: 'b',
      freeness: 95,
    });
    expect(changeOf([busy('a', 0, 0)])).to.equal(null);
    expect(changeOf([busy('a', 50, 2), busy('b', 40, 2)]), 'neither much nor little').to.equal(null);
  });

  it('takes none whose requests would leave too little to the others', () => {
    expect(changeOf([busy('a', 60, 4), busy('b', 0, 0), busy('c', 0, 0)])).to.deep.equal({ kind: 'remove', instance: 'c', freeness: 70 }); // prettier-ignore
    expect(changeOf([busy('a', 60, 4), busy('b', 0, 0)]), '55 on average, so neither').to.equal(null);
    expect(changeOf([busy('a', 70, 4), busy('b', 0, 0)], { ...SETTINGS, removeAbove: 50 }), '7.5 each').to.equal(null);
  });

  it('adds one where fewer than the least are left that don’t drain', () => {
    const drains = candidateOf('a', { record: { isDraining: true } });
    expect(changeOf([drains])).to.deep.equal({ kind: 'add', freeness: NaN });
    expect(changeOf([])).to.deep.equal({ kind: 'add', freeness: NaN });
  });
});
