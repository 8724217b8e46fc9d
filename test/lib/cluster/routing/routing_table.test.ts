import { expect } from 'chai';
import fc from 'fast-check';
import { BlockHasher, BlockKeys } from '../../../../lib/head/scheduling/blocks/block_keys.js';
import { ClusterError } from '../../../../lib/cluster/base/errors.js';
import { kv } from '../../../../lib/cluster/routing/policies/kv.js';
import { leastLoad, roundRobin } from '../../../../lib/cluster/routing/policies/plain.js';
import { blockSharingOf, PromptKeys } from '../../../../lib/cluster/routing/prompt_keys.js';
import { RoutingTable, type RoutingTableOptions } from '../../../../lib/cluster/routing/routing_table.js';
import { sticky } from '../../../../lib/cluster/routing/policies/sticky.js';
import { askedOf, recordOf, reportOf } from '../../../kit/cluster/views.js';

const OPTIONS: RoutingTableOptions = {
  policy: leastLoad,
  usesEvents: true,
  ttlMs: 1000,
  maxBlocks: 10_000,
  lengthBuckets: [64, 256],
  sessions: { ttlMs: 1000, maxSessions: 10 },
  localPrefillTokens: 0,
  replication: null,
};

const SHARING = { seed: 'all that keys depend on', separatesForms: true };
const tokens = (count: number, first = 0): number[] => Array.from({ length: count }, (_, i) => first + i);

/** As an instance tells them. */
function keysOf(promptTokenIds: readonly number[], blockSize: number): string[] {
  const keys = new BlockKeys(new BlockHasher(blockSize, SHARING), { promptTokenIds, outputTokenIds: [] });
  return Array.from({ length: Math.floor(promptTokenIds.length / blockSize) }, (_, i) =>
    Buffer.from(keys.at(i), 'binary').toString('hex', 0, 8),
  );
}

const tableOf = (ids: readonly string[], changes: Partial<RoutingTableOptions> = {}): RoutingTable => {
  const table = new RoutingTable({ ...OPTIONS, ...changes });
  for (const id of ids) table.join(recordOf(id));
  return table;
};

describe('RoutingTable', () => {
  it('finds what instances of different block sizes told, by the keys that they made', () => {
    const table = tableOf([], { policy: kv() });
    const sharing = blockSharingOf(SHARING);
    for (const [id, blockSize] of [['a', 4], ['b', 16]] as const) table.join(recordOf(id, { blockSize, sharing })); // prettier-ignore
    const asked = askedOf(tokens(40));
    expect(table.route(asked, 0)).to.deep.equal({ kind: 'whole', instance: 'a' });
    const stored = { kind: 'stored' as const, keys: keysOf(tokens(40), 16) };
    table.apply({ instance: 'b', incarnation: 'x', sequence: 0, events: [stored] });
    expect(table.route(asked, 0)).to.deep.equal({ kind: 'whole', instance: 'b' });
    table.gap('b');
    expect(table.route(asked, 0), 'nothing is known of it any more').to.deep.equal({ kind: 'whole', instance: 'a' });
  });

  it('sends a prompt after one that begins alike and is still computed', () => {
    const table = tableOf(['a', 'b'], { policy: kv() });
    table.send(askedOf([...tokens(40), 1]), 'b', 'whole', 0);
    expect(table.route(askedOf([...tokens(40), 2]), 0)).to.deep.equal({ kind: 'whole', instance: 'b' });
  });

  it('takes what was sent for what is cached, for a while, where an instance tells nothing', () => {
    const table = tableOf([], { policy: kv(), ttlMs: 1000 });
    for (const id of ['a', 'b']) table.join(recordOf(id, { kind: 'foreign', sharing: null }));
    const sent = table.send(askedOf(tokens(40)), 'b', 'whole', 0);
    sent.firstToken(10);
    sent.ended({ numOutputTokens: 3, isComplete: true }, 20);
    expect(table.route(askedOf(tokens(41)), 999)).to.deep.equal({ kind: 'whole', instance: 'b' });
    expect(table.route(askedOf(tokens(41)), 1000)).to.deep.equal({ kind: 'whole', instance: 'a' });
  });

  it('takes what was sent for what is cached, where it has no tokens of a prompt', () => {
    const table = tableOf(['a', 'b'], { policy: kv() });
    const asked = (end: string) => askedOf([], { prompt: new PromptKeys({ text: 'It was the best of times, '.repeat(9) + end }) }); // prettier-ignore
    table.send(asked('it was'), 'b', 'whole', 0).ended({ numOutputTokens: 3, isComplete: true }, 20);
    expect(table.route(asked('and then'), 30)).to.deep.equal({ kind: 'whole', instance: 'b' });
    expect(table.route(asked('and then'), 2000)).to.deep.equal({ kind: 'whole', instance: 'a' });
  });

  it('counts what it sent since a report, and never less than what it has there', () => {
    const table = tableOf(['a']);
    const view = () => {
      const { numRequests, numPrefillTokens, numActiveBlocks } = table.views[0]!;
      return [numRequests, numPrefillTokens, numActiveBlocks];
    };
    const first = table.send(askedOf(tokens(10)), 'a', 'whole', 0);
    expect(view()).to.deep.equal([1, 10, 3]);
    table.report(reportOf('a', { numRunning: 3, numPrefillTokens: 30, numUsedBlocks: 9 }));
    expect(view(), 'another router has requests there').to.deep.equal([3, 30, 9]);
    const second = table.send(askedOf(tokens(10, 100)), 'a', 'whole', 1);
    expect(view()).to.deep.equal([4, 40, 12]);
    first.firstToken(2);
    first.progress(9);
    expect(view()).to.deep.equal([4, 30, 14]);
    first.ended({ numOutputTokens: 9, isComplete: true }, 3);
    second.ended({ numOutputTokens: 0, isComplete: false }, 4);
    expect(view()).to.deep.equal([2, 20, 6]);
    table.report(reportOf('a', { sequence: 1 }));
    table.report(reportOf('a', { sequence: 0, numRunning: 7 }));
    table.report(reportOf('a', { sequence: 5, incarnation: 'before', numRunning: 7 }));
    expect(view(), 'late reports are dropped').to.deep.equal([0, 0, 0]);
  });

  it('leaves nothing behind of requests, in whatever order they begin and end', () => {
    const step = fc.record({ at: fc.nat(), act: fc.constantFrom('send', 'first', 'progress', 'end', 'restart') });
    const property = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const table = tableOf(['a', 'b'], { policy: kv() });
      const sent: ReturnType<RoutingTable['send']>[] = [];
      for (const [i, { at, act }] of steps.entries()) {
        const one = sent[at % Math.max(sent.length, 1)];
        if (act === 'send') {
          sent.push(table.send(askedOf(tokens(at % 30, at % 3)), at % 2 === 0 ? 'a' : 'b', (['whole', 'prefill', 'decode'] as const)[at % 3]!, i)); // prettier-ignore
        } else if (act === 'first') one?.firstToken(i);
        else if (act === 'progress') one?.progress(at % 50);
        else if (act === 'end') one?.ended({ numOutputTokens: at % 50, isComplete: at % 2 === 0 }, i);
        else table.join(recordOf('a', { incarnation: String(i) }));
      }
      for (const one of sent) one.ended({ numOutputTokens: 1, isComplete: false }, 100);
      for (const { numRequests, numPrefillTokens, numActiveBlocks, numHeavy, numLight } of table.views) {
        expect([numRequests, numPrefillTokens, numActiveBlocks, numHeavy, numLight]).to.deep.equal([0, 0, 0, 0, 0]);
      }
    });
    fc.assert(property, { numRuns: 200 });
  });

  it('keeps sessions where they are, until they can’t stay', () => {
    const table = tableOf(['a', 'b'], { policy: sticky(roundRobin) });
    const asked = (session: string) => askedOf(tokens(9), { session });
    const send = (session: string): string => {
      const route = table.route(asked(session), 0);
      if (route.kind !== 'whole') throw new Error(route.kind);
      table.send(asked(session), route.instance, 'whole', 0);
      return route.instance;
    };
    expect([send('x'), send('x'), send('y'), send('x'), send('y')]).to.deep.equal(['a', 'a', 'b', 'a', 'b']);
    table.setHealthy('a', false);
    expect([send('x'), send('x')]).to.deep.equal(['b', 'b']);
    table.setHealthy('a', true);
    expect(send('x'), 'it moved').to.equal('b');
  });

  it('says why no instance may take a request', () => {
    const table = tableOf(['a', 'c', 'd']);
    table.join(recordOf('b', { isDraining: true }));
    table.setHealthy('a', false);
    expect(() => table.route(askedOf([1], { except: new Set(['c']), fingerprint: 'g' }), 0)).to.throw(
      ClusterError,
      'NO_INSTANCE: no instance may take the request: a fails, b drains, c failed this request, d has other weights; try again later, or start another one',
    );
    expect(() => table.route(askedOf([1], { model: 'n' }), 0)).to.throw(
      ClusterError,
      'NO_INSTANCE: no instance has model n; try again later, or start another one',
    );
  });

  it('lets a prompt that fits nowhere go where one says so', () => {
    const table = tableOf([]);
    table.join(recordOf('a', { maxModelLen: 10 }));
    table.join(recordOf('b', { maxModelLen: 20 }));
    expect(table.route(askedOf(tokens(15)), 0)).to.deep.equal({ kind: 'whole', instance: 'b' });
    expect(table.route(askedOf(tokens(25)), 0)).to.deep.equal({ kind: 'whole', instance: 'a' });
  });

  describe('of a pool', () => {
    const POOLED = { isPooled: true };
    const pooled = (changes: Partial<RoutingTableOptions> = {}): RoutingTable => {
      const table = tableOf([], changes);
      for (const id of ['a', 'b', 'c']) table.join(recordOf(id, POOLED));
      return table;
    };
    const stored = (
      table: RoutingTable,
      id: string,
      numTokens: number,
      sequence = 0,
      kind: 'stored' | 'removed' = 'stored',
    ) => {
      // prettier-ignore
      const blocks = new PromptKeys({ tokens: tokens(numTokens) }).of(recordOf(id));
      const keys = Array.from({ length: blocks.numBlocks }, (_, i) => blocks.at(i));
      return table.apply({ instance: id, incarnation: 'x', sequence, events: [{ kind, keys }] });
    };
    const holdersOf = (table: RoutingTable, id: string): string[] =>
      table.holders(askedOf(tokens(40)), id).map(({ instance, numBlocks }) => `${instance} ${numBlocks}`);

    it('names who has more of a prompt than the instance that it goes to, who has most first', () => {
      const table = pooled();
      stored(table, 'a', 12);
      stored(table, 'b', 24);
      expect(holdersOf(table, 'c')).to.deep.equal(['b 6', 'a 3']);
      expect(holdersOf(table, 'a')).to.deep.equal(['b 6']);
      expect(holdersOf(table, 'b')).to.deep.equal([]);
      table.send(askedOf([9]), 'b', 'whole', 0);
      stored(table, 'a', 24, 1);
      expect(holdersOf(table, 'c'), 'of equal ones who has less to do').to.deep.equal(['a 6', 'b 6']);
    });

    it('names nobody of other weights, other keys, another block size, or who lends nothing', () => {
      const others = [{ fingerprint: 'g' }, { fingerprint: null }, { blockSize: 8 }, { sharing: null }, { isPooled: false }]; // prettier-ignore
      for (const change of [...others, { sharing: { seed: '11'.repeat(32), separatesForms: false } }]) {
        const table = pooled();
        stored(table, 'a', 40);
        table.join(recordOf('a', { ...POOLED, ...change }));
        expect(holdersOf(table, 'b'), JSON.stringify(change)).to.deep.equal([]);
        expect(holdersOf(table, 'a')).to.deep.equal([]);
      }
    });

    it('names nobody for blocks that are gone: evicted, with their instance, or lost from sight', () => {
      const losses: Readonly<Record<string, (table: RoutingTable) => unknown>> = {
        evicted: (table) => stored(table, 'a', 40, 1, 'removed'),
        left: (table) => table.leave('a'),
        restarted: (table) => table.join(recordOf('a', { ...POOLED, incarnation: 'y' })),
        failing: (table) => table.setHealthy('a', false),
        gap: (table) => stored(table, 'a', 4, 2),
        lost: (table) => table.gap('a'),
      };
      for (const [how, lose] of Object.entries(losses)) {
        const table = pooled({ policy: kv() });
        stored(table, 'a', 40);
        expect(holdersOf(table, 'b')).to.deep.equal(['a 10']);
        lose(table);
        expect(holdersOf(table, 'b'), how).to.deep.equal([]);
      }
    });

    it('goes by what is cached, if nothing else counts, and by load if it does: the prefix comes from elsewhere', () => {
      const table = pooled({ policy: kv() });
      stored(table, 'b', 40);
      expect(table.route(askedOf(tokens(44)), 0)).to.deep.equal({ kind: 'whole', instance: 'b' });
      table.report(reportOf('b', { numPrefillTokens: 90 }));
      expect(table.route(askedOf(tokens(44)), 0)).to.deep.equal({ kind: 'whole', instance: 'a' });
      const sent = table.send(askedOf(tokens(44)), 'a', 'whole', 0);
      expect(sent.numTokensToCompute, 'what comes from elsewhere is not computed').to.equal(4);
    });

    it('copies what many ask for to one more instance, once', () => {
      const replication = {
        halfLifeMs: 1000,
        maxBlocks: 100,
        maxDepth: 8,
        heatPerReplica: 2,
        maxReplicas: 2,
        maxAtOnce: 4,
      };
      const table = pooled({ replication });
      for (const id of ['a', 'b', 'c']) table.report(reportOf(id));
      stored(table, 'a', 40);
      for (let i = 0; i < 3; i++) table.send(askedOf(tokens(41)), 'a', 'whole', 0);
      const [copy, ...others] = table.copies([], 0);
      expect(others).to.deep.equal([]);
      expect(copy).to.deep.include({ holders: ['http://a'], to: 'b' });
      const blocks = new PromptKeys({ tokens: tokens(40) }).of(recordOf('a'));
      expect(copy!.keys).to.deep.equal(Array.from({ length: 8 }, (_, i) => blocks.wholeAt(i)));
      expect(copy!.keys[0]).to.match(/^[0-9a-f]{64}$/);
      stored(table, 'b', 40);
      expect(table.copies([], 0), 'two have it').to.deep.equal([]);
      table.leave('b');
      expect(table.copies([], 0), 'one again').to.have.length(1);
      expect(table.copies([], 5000), 'nobody asked for long').to.deep.equal([]);
    });
  });

  it('refuses to send to who left meanwhile', () => {
    const table = tableOf(['a']);
    table.leave('a');
    expect(() => table.send(askedOf([1]), 'a', 'whole', 0)).to.throw(ClusterError, 'INSTANCE_LOST');
  });
});
