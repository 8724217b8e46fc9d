import { expect } from 'chai';
import fc from 'fast-check';
import type { JobNode } from '../../../../lib/jobs/base/job.js';
import { isRouted, routed, type RoutingFacts } from '../../../../lib/jobs/decisions/routing.js';
import { lostShards, movedPlacement, placementOf, workerOf } from '../../../../lib/jobs/decisions/placement.js';
import { node } from '../../../kit/jobs/jobs.js';

const candidates = (...ids: string[]): RoutingFacts['workers'] => ids.map((id) => ({ id, width: 1 }));
const facts = (changes: Partial<RoutingFacts> = {}): RoutingFacts => ({
  workers: candidates('c', 'a', 'b'),
  loadOf: () => 0,
  lastTurn: null,
  hashKey: 'nightly/work',
  ...changes,
});
const by = (route: JobNode['route']): JobNode => node('work', { route });
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe('routing', () => {
  it('round robin goes on behind the last one', () => {
    expect(routed(by('round_robin'), upTo(4), facts())).to.deep.equal(['a', 'b', 'c', 'a']);
    expect(routed(by('round_robin'), upTo(2), facts({ lastTurn: 'b' }))).to.deep.equal(['c', 'a']);
    expect(routed(by('round_robin'), upTo(1), facts({ lastTurn: 'c' }))).to.deep.equal(['a']);
    expect(routed(by('round_robin'), upTo(1), facts({ lastTurn: 'aa' }))).to.deep.equal(['b']);
  });

  it('least busy counts what each has, for each task that he does at a time', () => {
    const loads: Readonly<Record<string, number>> = { a: 2, b: 0, c: 2 };
    const workers = [
      { id: 'a', width: 1 },
      { id: 'b', width: 1 },
      { id: 'c', width: 4 },
    ];
    const chosen = routed(by('least_busy'), upTo(4), facts({ workers, loadOf: (id) => loads[id]! }));
    expect(chosen).to.deep.equal(['b', 'c', 'c', 'b']);
  });

  it('failover is the first by name, and broadcast each one once', () => {
    expect(routed(by('failover'), upTo(2), facts())).to.deep.equal(['a', 'a']);
    const broadcast = node('work', { shards: { kind: 'broadcast' } });
    expect(routed(broadcast, upTo(3), facts())).to.deep.equal(['a', 'b', 'c']);
    expect([isRouted(broadcast), isRouted(by('failover')), isRouted(by('any'))]).to.deep.equal([true, true, false]);
  });

  it('consistent hash moves only shards of a worker that goes', () => {
    const id = fc.stringMatching(/^[a-z0-9]{1,8}$/);
    fc.assert(
      fc.property(fc.uniqueArray(id, { minLength: 2, maxLength: 12 }), fc.nat(), fc.string(), (ids, at, hashKey) => {
        const gone = ids[at % ids.length]!;
        const before = routed(by('consistent_hash'), upTo(100), facts({ workers: candidates(...ids), hashKey }));
        const living = candidates(...ids.filter((one) => one !== gone));
        const after = routed(by('consistent_hash'), upTo(100), facts({ workers: living, hashKey }));
        before.forEach((worker, i) => worker === gone || expect(after[i]).to.equal(worker));
      }),
    );
  });

  it('consistent hash spreads shards over all', () => {
    const counts = new Map<string, number>();
    for (const worker of routed(by('consistent_hash'), upTo(3000), facts())) {
      counts.set(worker, (counts.get(worker) ?? 0) + 1);
    }
    for (const count of counts.values()) expect(count).to.be.within(850, 1150);
    expect(counts.size).to.equal(3);
  });

  it('what lies with a worker that is gone and is open goes elsewhere, and nothing else', () => {
    const placed = { ...placementOf(['a', 'b', 'a', 'c']), isSent: true };
    const lost = lostShards(
      placed,
      (index) => index !== 2,
      (worker) => worker === 'a',
    );
    expect(lost).to.deep.equal([0]);
    const moved = movedPlacement(placed, lost, ['d']);
    expect(upTo(4).map((index) => workerOf(moved, index))).to.deep.equal(['d', 'b', 'a', 'c']);
    expect([moved.moves, moved.isSent]).to.deep.equal([[1, 0, 0, 0], false]);
  });
});
