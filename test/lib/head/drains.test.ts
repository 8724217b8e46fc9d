import { expect } from 'chai';
import { Drains } from '../../../lib/head/drains.js';

describe('who waits until a rank runs nothing', () => {
  it('is told at once where it runs nothing, and otherwise when that is so, each once', async () => {
    const busy = new Set([1, 2]);
    const drains = new Drains((rank) => !busy.has(rank));
    const told: string[] = [];
    const wait = (name: string, rank: number): Promise<void> => drains.wait(rank).then(() => void told.push(name));
    const waiting = [wait('a', 1), wait('b', 2), wait('c', 1)];
    await wait('d', 0);
    busy.delete(1);
    drains.check();
    drains.check();
    await Promise.all([waiting[0], waiting[2]]);
    busy.delete(2);
    drains.check();
    await waiting[1];
    expect(told).to.deep.equal(['d', 'a', 'c', 'b']);
  });

  it('may give up, before or meanwhile, with its own reason', async () => {
    let isBusy = true;
    const drains = new Drains(() => !isBusy);
    const [early, late] = [new AbortController(), new AbortController()];
    early.abort(new Error('before'));
    const reasonOf = (wait: Promise<void>): Promise<unknown> => wait.then(() => 'drained').catch((why: unknown) => why);
    const waiting = [reasonOf(drains.wait(1, early.signal)), reasonOf(drains.wait(1, late.signal))];
    const other = reasonOf(drains.wait(1, new AbortController().signal));
    late.abort(new Error('meanwhile'));
    isBusy = false;
    drains.check();
    expect((await Promise.all(waiting)).map((why) => (why as Error).message)).to.deep.equal(['before', 'meanwhile']);
    expect(await other).to.equal('drained');
  });
});
