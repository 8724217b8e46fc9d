import { expect } from 'chai';
import { setImmediate as turn } from 'node:timers/promises';
import type { InstanceView } from '../../../../lib/cluster/base/instance_view.js';
import { Scaler, type InstanceKind } from '../../../../lib/cluster/start/scaler.js';
import { candidateOf, reportOf } from '../../../kit/cluster/views.js';

const SETTINGS = { interval_ms: 86_400_000, cool_down_ms: 100, add_below: 10, remove_above: 60 };
const KIND: InstanceKind = { names: ['a', 'b', 'c'], numAtStart: 1, min: 1 };

/** A cluster whose instances come and go when the test says so; each has 100 blocks. */
class PlayedCluster {
  readonly told: string[] = [];
  readonly asked: string[] = [];
  /** By name: how many blocks are held there. */
  readonly used = new Map<string, number>();
  /** Of what was asked last. */
  done: () => void = () => undefined;
  fails: (error: Error) => void = () => undefined;
  more: Partial<InstanceView> = {};
  private nowMs = 0;
  private readonly scaler: Scaler;

  constructor(kinds: readonly InstanceKind[]) {
    for (const { names, numAtStart } of kinds) for (const name of names.slice(0, numAtStart)) this.used.set(name, 50);
    this.scaler = new Scaler({
      kinds,
      settings: SETTINGS,
      views: () => [...this.used].map(([id, numUsedBlocks]) => ({ ...candidateOf(id, { load: reportOf(id, { numUsedBlocks, numRunning: 1 }) }), ...this.more })), // prettier-ignore
      add: (name) => this.ask(`add ${name}`),
      remove: (name) => this.ask(`remove ${name}`),
      tell: (text) => this.told.push(text),
      clock: () => this.nowMs,
    });
  }

  /** Looks for longer than anything must be wanted, with so many blocks held everywhere. */
  async load(numUsedBlocks: number): Promise<void> {
    for (const name of this.used.keys()) this.used.set(name, numUsedBlocks);
    for (let i = 0; i < 20; i++, this.nowMs += 10) this.scaler.look();
    await turn();
  }

  close(): void {
    this.scaler.close();
  }

  private ask(what: string): Promise<void> {
    this.asked.push(what);
    return new Promise((resolve, reject) => {
      this.done = resolve;
      this.fails = reject;
    });
  }
}

async function played(kinds: readonly InstanceKind[], act: (cluster: PlayedCluster) => Promise<void>): Promise<void> {
  const cluster = new PlayedCluster(kinds);
  await act(cluster);
  cluster.close();
}

/** What was asked has been done. */
async function done(cluster: PlayedCluster): Promise<void> {
  const [what, name] = cluster.asked.at(-1)!.split(' ') as [string, string];
  if (what === 'add') cluster.used.set(name, 0);
  else cluster.used.delete(name);
  cluster.done();
  await turn();
}

describe('how many instances run', () => {
  it('grows one at a time with the load, and shrinks again, the newest first; each is told with its reason', () =>
    played([KIND], async (cluster) => {
      await cluster.load(95);
      await cluster.load(95);
      expect(cluster.asked, 'one at a time').to.deep.equal(['add b']);
      expect(cluster.told).to.deep.equal([
        'b is started: 5.0 KV blocks are free for each running request (router.elastic.add_below: 10)',
      ]);
      await done(cluster);
      await cluster.load(95);
      await done(cluster);
      await cluster.load(95);
      expect(cluster.asked, 'there are three names').to.deep.equal(['add b', 'add c']);
      await cluster.load(0);
      await done(cluster);
      await cluster.load(0);
      await done(cluster);
      await cluster.load(0);
      expect(cluster.asked.slice(2), 'one stays').to.deep.equal(['remove c', 'remove b']);
      expect(cluster.told.slice(2, 4)).to.deep.equal([
        'c drains and ends: 100.0 KV blocks are free for each running request (router.elastic.remove_above: 60)',
        'c has ended',
      ]);
    }));

  it('stays at what there is where one didn’t start, and says so once', () =>
    played([KIND], async (cluster) => {
      await cluster.load(95);
      cluster.fails(new Error('no memory'));
      await turn();
      await cluster.load(95);
      await cluster.load(95);
      expect(cluster.asked).to.deep.equal(['add b']);
      expect(cluster.told.slice(1)).to.deep.equal([
        'warning: no more than 1 instances run from now on, since b can’t: no memory',
      ]);
    }));

  it('doesn’t shrink while one is away, and counts it among the most', () =>
    played([{ ...KIND, numAtStart: 3 }], async (cluster) => {
      cluster.used.delete('b');
      await cluster.load(0);
      await cluster.load(95);
      expect(cluster.asked).to.deep.equal([]);
      cluster.more = { isHealthy: false };
      await cluster.load(0);
      expect(cluster.asked).to.deep.equal([]);
    }));

  it('is decided for each kind by its own load; of one whose number is fixed nothing is', () => {
    const fixed = { names: ['x', 'y'], numAtStart: 2, min: 2 };
    return played([fixed, KIND], async (cluster) => {
      cluster.used.set('x', 100).set('y', 100);
      for (let i = 0; i < 3; i++) await cluster.load(100);
      expect(cluster.asked).to.deep.equal(['add b']);
    });
  });

  it('stays as it is when the cluster ends', () =>
    played([KIND], async (cluster) => {
      await cluster.load(95);
      cluster.close();
      cluster.fails(new Error('CLOSED'));
      await turn();
      expect(cluster.told).to.have.length(1);
    }));
});
