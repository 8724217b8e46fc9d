import { expect } from 'chai';
import { Lending, MAX_LOANS } from '../../../../lib/head/kv/lending.js';
import { noPoolCounts } from '../../../../lib/head/kv/pool_counts.js';
import type { HandoverOrder } from '../../../../lib/protocol/handover.js';
import { EngineError } from '../../../../lib/protocol/errors.js';

/** Ranks that have blocks, and hear orders: 'lend 0: a@3 b@tier', 'release 0'. */
class Ranks {
  readonly story: string[] = [];
  readonly timers = new Set<() => void>();
  readonly counts = noPoolCounts();
  readonly doorless = new Set<number>();
  readonly lending: Lending;
  private readonly tokens = new Map<string, number>();

  /** By rank: key → block, or null where a tier has it. */
  constructor(
    readonly held: readonly ReadonlyMap<string, number | null>[],
    readonly hasStates = false,
  ) {
    this.lending = new Lending({
      blocks: {
        ranks: [...held.keys()],
        lendable: (rank, keys) => {
          const end = keys.findIndex((key) => !held[rank]!.has(key));
          const known = keys.slice(0, end < 0 ? keys.length : end);
          return known.map((key) => ({ block: held[rank]!.get(key)!, hasState: key === key.toUpperCase() }));
        },
        hasStates: this.hasStates,
      },
      ranks: {
        kvDoorOf: (rank) => (this.doorless.has(rank) ? null : { host: 'rank', port: rank + 1 }),
        handover: (rank, order) => this.hear(rank, order),
      },
      timeoutMs: 1000,
      counts: this.counts,
      after: (_ms, then) => {
        this.timers.add(then);
        return () => this.timers.delete(then);
      },
    });
  }

  /** All who gave no sign of life since {@link tick} are late. */
  expire(): void {
    for (const then of [...this.timers]) then();
  }

  private hear(rank: number, order: HandoverOrder): boolean {
    if (order.kind === 'lend') {
      this.tokens.set(order.lend.id, this.tokens.size);
      const items = order.lend.items.map(({ key, block }) => `${key}@${block ?? 'tier'}`);
      this.story.push(`lend ${rank}: ${items.join(' ')}`);
    } else if (order.kind === 'release') this.story.push(`release ${rank}`);
    return true;
  }
}

const held = (...blocks: [string, number | null][]): ReadonlyMap<string, number | null> => new Map(blocks);
const two = (): Ranks => new Ranks([held(['a', 3], ['b', 4]), held(['a', 7], ['b', null], ['c', 9])]);

describe('loans of blocks', () => {
  it('are of the rank that has most of the beginning, and of no rank that nobody can read from', () => {
    const ranks = two();
    const loan = ranks.lending.lend(['a', 'b', 'c', 'd'])!;
    expect([loan.numBlocks, loan.place.port]).to.deep.equal([3, 2]);
    expect(loan.lease.id).to.match(/^[0-9a-f]{32}$/);
    expect(loan.lease.token).to.match(/^[0-9a-f]{64}$/);
    ranks.doorless.add(1);
    expect(ranks.lending.lend(['a', 'b', 'c'])!.numBlocks).to.equal(2);
    expect(ranks.lending.lendFrom(1, ['a'])).to.equal(null);
    expect(ranks.lending.lend(['c'])).to.equal(null);
    expect(ranks.story).to.deep.equal(['lend 1: a@7 b@tier c@9', 'lend 0: a@3 b@4']);
    expect(ranks.counts).to.include({ numLoans: 2, numLentBlocks: 5 });
  });

  it('go as far as a block with a state, where layers have states', () => {
    const ranks = new Ranks([held(['a', 1], ['B', 2], ['c', 3]), held(['a', 1])], true);
    expect(ranks.lending.lend(['a', 'B', 'c'])!.numBlocks).to.equal(2);
    expect(ranks.lending.lend(['a', 'x'])).to.equal(null);
    expect(ranks.lending.lendFrom(0, ['a'])!.numBlocks).to.equal(1); // who asks knows
  });

  it('are of one rank where it is named, though others have more', () => {
    const ranks = two();
    expect(ranks.lending.lendFrom(0, ['a', 'b', 'c'])!.numBlocks).to.equal(2);
    expect(ranks.lending.lendFrom(2, ['a'])).to.equal(null);
  });

  it('end, once, when a block of theirs is about to be forgotten, or its state, and no other', () => {
    const ranks = two();
    const [first, second] = [ranks.lending.lend(['a', 'b', 'c'])!, ranks.lending.lendFrom(0, ['a'])!];
    ranks.lending.forget({ rank: 0, blocks: [7, 9, 4] });
    ranks.lending.forget({ rank: 1, blocks: [3] });
    expect([first.end, second.end]).to.deep.equal([null, null]);
    ranks.lending.forget({ rank: 1, blocks: [1, 9, 7] });
    expect([first.end, second.end]).to.deep.equal(['evicted', null]);
    ranks.lending.forget({ rank: 0, blocks: [], states: [3] });
    expect(second.end).to.equal('evicted');
    first.close();
    ranks.expire();
    expect(first.end).to.equal('evicted');
    expect(ranks.story.slice(2)).to.deep.equal(['release 1', 'release 0']);
    expect(ranks.counts.numEvictedLoans).to.equal(2);
    expect(ranks.timers.size).to.equal(0);
  });

  it('end without a sign of life, and when who borrowed has enough', () => {
    const ranks = two();
    const [first, second] = [ranks.lending.lend(['a'])!, ranks.lending.lend(['a'])!];
    second.close();
    second.close();
    first.renew();
    expect(ranks.timers.size).to.equal(1);
    ranks.expire();
    expect([first.end, second.end]).to.deep.equal(['expired', 'closed']);
    first.renew();
    expect(ranks.timers.size).to.equal(0);
    expect(ranks.counts.numExpiredLoans).to.equal(1);
    expect(ranks.lending.size).to.equal(0);
  });

  it('end with their rank, and with the engine', () => {
    const ranks = two();
    const [first, second] = [ranks.lending.lendFrom(0, ['a'])!, ranks.lending.lendFrom(1, ['a'])!];
    ranks.lending.enter(new Set([1]));
    expect([first.end, second.end]).to.deep.equal(['lost', null]);
    ranks.lending.close();
    expect(second.end).to.equal('lost');
    expect(ranks.timers.size).to.equal(0);
  });

  it('are refused where as many are open as may be', () => {
    const ranks = two();
    for (let i = 0; i < MAX_LOANS; i++) ranks.lending.lend(['a']);
    expect(() => ranks.lending.lend(['a'])).to.throw(EngineError, /^QUEUE_FULL: /);
    expect(ranks.lending.lend(['z'])).to.equal(null);
    expect(ranks.lending.lendFrom(0, ['a']), 'between ranks').not.to.equal(null);
  });
});
