import { expect } from 'chai';
import fc from 'fast-check';
import type { InstanceRecord } from '../../../../../lib/cluster/base/instance_record.js';
import type { InstanceView } from '../../../../../lib/cluster/base/instance_view.js';
import type { LoadReport } from '../../../../../lib/cluster/base/load_report.js';
import type { HotPrefix } from '../../../../../lib/cluster/routing/pool/heat.js';
import {
  planCopies,
  wantedReplicas,
  type BegunCopy,
  type PoolMember,
} from '../../../../../lib/cluster/routing/pool/replicas.js';
import { candidateOf, reportOf } from '../../../../kit/cluster/views.js';

const SETTINGS = { heatPerReplica: 4, maxReplicas: 3, maxAtOnce: 2 };
const prefix = (name: string, heat: number, numBlocks = 2): HotPrefix => ({
  keys: Array.from({ length: numBlocks }, (_, i) => `${name}${i}`),
  heat,
});

interface Told extends Partial<Pick<InstanceView, 'numRequests' | 'isHealthy'>> {
  readonly record?: Partial<InstanceRecord>;
  readonly load?: Partial<LoadReport>;
  /** Names of prefixes that it has. */
  readonly has?: readonly string[];
}

const member = (id: string, { has = [], load, ...told }: Told = {}): PoolMember => ({
  view: { ...candidateOf(id, told), load: reportOf(id, load) },
  numHeld: ({ keys }) => (has.includes(keys[0]!.slice(0, -1)) ? keys.length : 0),
});

const plan = (hot: readonly HotPrefix[], members: readonly PoolMember[], begun: readonly BegunCopy[] = []): string[] =>
  planCopies(hot, members, begun, SETTINGS).map(({ keys, holders, to }) => `${keys[0]} ${holders.join()} → ${to}`);

describe('copies of hot prefixes', () => {
  it('are wanted by heat, up to a limit', () => {
    expect([3.9, 4, 8, 100].map((heat) => wantedReplicas(heat, SETTINGS))).to.deep.equal([1, 2, 3, 3]);
  });

  it('go to the instance with least to do that lacks the prefix, from those that have it', () => {
    const members = [member('a', { has: ['p'] }), member('b', { numRequests: 2 }), member('c', { numRequests: 1 })];
    expect(plan([prefix('p', 4)], members)).to.deep.equal(['p0 http://a → c']);
    expect(plan([prefix('p', 3.9)], members), 'it is not hot enough').to.deep.equal([]);
    expect(plan([prefix('q', 9)], members), 'nobody has it').to.deep.equal([]);
  });

  it('wait for those that are underway, and are not made twice while nobody told what came of them', () => {
    const members = [member('a', { has: ['p', 'q'] }), member('b'), member('c')];
    for (const state of ['underway', 'done'] as const)
      expect(plan([prefix('p', 4)], members, [{ last: 'p1', to: 'b', state }]), state).to.deep.equal([]);
    const failed = [{ last: 'p1', to: 'b', state: 'failed' }] as const;
    expect(plan([prefix('p', 4)], members, failed), 'another one is tried').to.deep.equal(['p0 http://a → c']);
    const busy = [{ last: 'x', to: 'b', state: 'underway' }] as const;
    expect(plan([prefix('p', 4), prefix('q', 4)], members, busy), 'two at once').to.deep.equal(['p0 http://a → c']);
  });

  it('go to nobody that generates alone, drains, fails, or would give up most of what it has', () => {
    const unable: readonly Told[] = [
      { record: { role: 'decode' } },
      { record: { isDraining: true } },
      { isHealthy: false },
      { load: { numFreeBlocksOfRank: 3 } },
    ];
    for (const told of unable) expect(plan([prefix('p', 4)], [member('a', { has: ['p'] }), member('b', told)])).to.deep.equal([]); // prettier-ignore
    const fails = member('a', { has: ['p'], isHealthy: false });
    expect(plan([prefix('p', 4)], [fails, member('b')]), 'who fails lends nothing').to.deep.equal([]);
  });

  it('are bounded, and never to one that has or gets it already', () =>
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ name: fc.constantFrom('p', 'q', 'r'), heat: fc.double({ min: 0, max: 99, noNaN: true }) }),
        ),
        fc.array(fc.uniqueArray(fc.constantFrom('p', 'q', 'r')), { maxLength: 5 }),
        (hot, held) => {
          const members = held.map((has, i) => member(`i${i}`, { has }));
          const prefixes = hot.map(({ name, heat }) => prefix(name, heat));
          const copies = planCopies(prefixes, members, [], SETTINGS);
          expect(copies.length).to.be.at.most(SETTINGS.maxAtOnce);
          expect(new Set(copies.map(({ to }) => to)).size, 'one each at a time').to.equal(copies.length);
          for (const { keys, to, holders } of copies) {
            const name = keys[0]!.slice(0, -1);
            expect(held[Number(to.slice(1))]).to.not.include(name);
            for (const url of holders) expect(held[Number(url.slice('http://i'.length))]).to.include(name);
          }
        },
      ),
    ));
});
