import { expect } from 'chai';
import { ComingRequests } from '../../../../lib/head/handover/coming_requests.js';

describe('ComingRequests', () => {
  it('are waited for until they are queued, or over; who isn’t about to be is not waited for', async () => {
    const coming = new ComingRequests();
    await coming.over('nobody');
    const queued = coming.begin('one');
    const told: string[] = [];
    const waiting = coming.over('one').then(() => told.push('over'));
    await new Promise(setImmediate);
    told.push('queued');
    expect(coming.size).to.equal(1);
    queued();
    queued();
    expect(coming.size).to.equal(0);
    await waiting;
    expect(told).to.deep.equal(['queued', 'over']);
    await coming.over('one');
  });

  it('of one name: the later one counts', async () => {
    const coming = new ComingRequests();
    const [first, second] = [coming.begin('one'), coming.begin('one')];
    first();
    let isOver = false;
    const waiting = coming.over('one').then(() => (isOver = true));
    await new Promise(setImmediate);
    expect(isOver).to.equal(false);
    second();
    await waiting;
  });
});
