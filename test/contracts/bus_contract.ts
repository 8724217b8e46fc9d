/** What every bus does. */
import { expect } from 'chai';
import { ClusterError } from '../../lib/cluster/base/errors.js';
import type { InstanceRecord } from '../../lib/cluster/base/instance_record.js';
import type { Bus } from '../../lib/cluster/bus/bus.js';
import { Member, recordOf, Watcher } from '../kit/cluster/members.js';
import { errorOf } from '../kit/rejects.js';

/** One cluster. */
export interface BusUnderTest {
  /** A connection more to its bus; or the bus, where it has no connections. */
  connect(): Promise<Bus>;
  /** Ends all. */
  close(): Promise<void>;
}

export function busContract(name: string, open: () => Promise<BusUnderTest>): void {
  describe(`a bus (${name})`, () => {
    let cluster: BusUnderTest;
    let instances: Bus;
    let router: Bus;
    beforeEach(async () => {
      cluster = await open();
      [instances, router] = [await cluster.connect(), await cluster.connect()];
    });
    afterEach(() => cluster.close());

    const joined = (id: string, others: Partial<InstanceRecord> = {}): Promise<Member> =>
      Member.join(instances, recordOf(id, others));

    it('who watches is told of those that are there and of those that come, that change and that leave', async () => {
      await joined('a');
      const watcher = new Watcher(router);
      await watcher.hears('a is mixed as a 1');
      const b = await joined('b', { role: 'prefill' });
      await watcher.hears('b is prefill as b 1');
      b.update({ role: 'decode' });
      await watcher.hears('b is decode as b 1');
      await b.leave();
      await b.leave();
      await watcher.hears('b is gone: left');
      expect(watcher.standing).to.deep.equal([
        ...['a is mixed as a 1', 'b is prefill as b 1', 'b is decode as b 1', 'b is gone: left'],
      ]);
    });

    it('who watches late is told the whole index and the load, then what changes', async () => {
      const a = await joined('a');
      a.report();
      a.store(1, 2);
      a.remove(1);
      const watcher = new Watcher(router);
      await watcher.knows('a', 2);
      await watcher.until(() => watcher.loadsOf('a').length > 0);
      a.store(3);
      await watcher.knows('a', 2, 3);
      a.report(50);
      await watcher.hears('a has load 50');
    });

    it('all who watch are told all, and who stopped nothing any more', async () => {
      const a = await joined('a');
      const [one, other] = [new Watcher(router), new Watcher(router)];
      for (const each of [one, other]) await each.knows('a');
      a.store(1);
      for (const each of [one, other]) await each.knows('a', 1);
      one.stop();
      const numTold = one.events.length;
      a.store(2);
      await other.knows('a', 1, 2);
      expect(one.events.length).to.equal(numTold);
    });

    it('what was lost is asked for, and what came behind it is told with it', async () => {
      const a = await joined('a');
      const watcher = new Watcher(router);
      await watcher.knows('a');
      a.store(1);
      await watcher.knows('a', 1);
      const { numWanted } = a;
      a.lose(2);
      a.store(3);
      await watcher.knows('a', 1, 2, 3);
      expect(a.numWanted).to.equal(numWanted + 1);
      expect(watcher.story.at(-1)).to.match(/cleared, stored 1,2,3$/);
    });

    it('load reports that come late are dropped', async () => {
      const a = await joined('a');
      const watcher = new Watcher(router);
      await watcher.knows('a');
      for (const sequence of [70, 60, 80]) a.report(sequence);
      await watcher.hears('a has load 80');
      expect(watcher.loadsOf('a').filter((sequence) => sequence >= 60)).to.deep.equal([70, 80]);
    });

    it('an instance that was started anew takes the place of the one before, which says nothing any more and hears why', async () => {
      const old = await joined('a');
      old.store(1);
      const watcher = new Watcher(router);
      await watcher.knows('a', 1);
      const young = await joined('a', { incarnation: 'a 2', url: 'http://127.0.0.1:9000' });
      await watcher.hears('a is mixed as a 2');
      await old.isTroubled();
      expect(old.troubles.map((error) => error?.message)).to.deep.equal([
        'ID_TAKEN: another instance joined as a, from http://127.0.0.1:9000; give each a cluster.id of its own, or none',
      ]);
      old.store(5);
      old.update({ role: 'decode' });
      await old.leave();
      young.store(2);
      await watcher.knows('a', 2);
      expect(watcher.standing).to.deep.equal(['a is mixed as a 1', 'a is mixed as a 2']);
    });

    it('a record that can’t be is refused where it is given', async () => {
      const refused = await errorOf(ClusterError, () => joined('a/b'));
      expect(refused.code).to.equal('INVALID_RECORD');
      expect(refused.message).to.include('id: ');
    });

    it('a closed bus takes nothing, and closes again', async () => {
      await router.close();
      await router.close();
      for (const call of [() => router.watch(() => undefined), () => Member.join(router, recordOf('a'))]) {
        expect((await errorOf(ClusterError, call)).code).to.equal('CLOSED');
      }
    });
  });
}
