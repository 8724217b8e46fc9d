import { expect } from 'chai';
import fc from 'fast-check';
import type { BlockEvent, BlockKey } from '../../../../lib/cluster/base/block_events.js';
import { PrefixIndex } from '../../../../lib/cluster/routing/prefix_index.js';
import { PrefixIndexRef, ToldCache } from '../../../refs/prefix_index_ref.js';

const listed = (keys: readonly BlockKey[]) => ({ numBlocks: keys.length, at: (index: number) => keys[index]! });

/** Few different keys, so that prompts meet. */
const keys = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), { maxLength: 6 });
const event: fc.Arbitrary<BlockEvent> = fc.oneof(
  { weight: 4, arbitrary: keys.map((each) => ({ kind: 'stored' as const, keys: each })) },
  { weight: 3, arbitrary: keys.map((each) => ({ kind: 'removed' as const, keys: each })) },
  { weight: 1, arbitrary: fc.constant({ kind: 'cleared' as const }) },
);

/** What happens between an instance and an index. */
type Happening =
  | { readonly kind: 'told' | 'lost'; readonly instance: number; readonly events: readonly BlockEvent[] }
  | { readonly kind: 'again'; readonly instance: number; readonly back: number }
  | { readonly kind: 'snapshot' | 'restart'; readonly instance: number };

const instance = fc.nat(1);
const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('told' as const),
      instance,
      events: fc.array(event, { minLength: 1, maxLength: 3 }),
    }),
  },
  fc.record({ kind: fc.constant('lost' as const), instance, events: fc.array(event, { minLength: 1, maxLength: 2 }) }),
  fc.record({ kind: fc.constant('again' as const), instance, back: fc.nat(3) }),
  fc.record({ kind: fc.constantFrom('snapshot' as const, 'restart' as const), instance }),
);

describe('PrefixIndex', () => {
  it('knows what instances told, and nothing of those of which batches are missing, under any events, losses, repetitions and restarts', () => {
    const property = fc.property(fc.array(happening, { maxLength: 60 }), keys, (happenings, prompt) => {
      const index = new PrefixIndex(1000);
      const caches = ['0', '1'].map((id) => new ToldCache(id, '0'));
      const refs = caches.map((cache) => new PrefixIndexRef(cache));
      for (const { instance: id, incarnation } of caches) index.add(id, incarnation);
      for (const [i, each] of happenings.entries()) {
        const cache = caches[each.instance]!;
        if (each.kind === 'restart') {
          const next = new ToldCache(cache.instance, String(i + 1));
          index.add(next.instance, next.incarnation);
          caches[each.instance] = next;
          refs[each.instance] = new PrefixIndexRef(next);
          if (cache.batches.length > 0) expect(index.apply(cache.batches.at(-1)!)).to.equal('late');
          continue;
        }
        if (each.kind === 'lost') {
          cache.tell(each.events);
          continue;
        }
        const { batches } = cache;
        const batch =
          each.kind === 'told'
            ? cache.tell(each.events)
            : each.kind === 'again'
              ? batches.at(-1 - each.back)
              : cache.snapshot();
        if (batch === undefined || batch.sequence < 0) continue;
        index.apply(batch);
        refs[each.instance]!.hear(batch);
        for (const [at, ref] of refs.entries()) {
          expect(index.numMatching(String(at), listed(prompt))).to.equal(ref.numMatching(prompt));
        }
      }
    });
    fc.assert(property, { numRuns: 500 });
  });

  const told = (sequence: number, ...events: BlockEvent[]) => ({ instance: 'i', incarnation: 'x', sequence, events });
  const stored = (...all: BlockKey[]): BlockEvent => ({ kind: 'stored', keys: all });
  const begun = (maxBlocks = 100): PrefixIndex => {
    const index = new PrefixIndex(maxBlocks);
    index.add('i', 'x');
    return index;
  };

  it('counts up to the first block that is missing, whatever is stored behind it', () => {
    const index = begun();
    expect(index.apply(told(0, stored('a', 'b', 'c'), { kind: 'removed', keys: ['b'] }))).to.equal('applied');
    expect(index.numMatching('i', listed(['a', 'b', 'c']))).to.equal(1);
    expect(index.size).to.equal(2);
  });

  it('says what became of a batch', () => {
    const index = begun();
    expect(index.apply({ ...told(0), instance: 'nobody' })).to.equal('unknown');
    expect(index.apply({ ...told(0), incarnation: 'before' })).to.equal('late');
    expect(index.apply(told(1, stored('a')))).to.equal('gap');
    expect(index.apply(told(2, stored('a'))), 'nothing is known any more').to.equal('gap');
    expect(index.apply(told(2, { kind: 'cleared' }, stored('a', 'b')))).to.equal('applied');
    expect(index.apply(told(1, { kind: 'cleared' })), 'an old snapshot').to.equal('late');
    expect(index.numMatching('i', listed(['a', 'b', 'c']))).to.equal(2);
  });

  it('takes a snapshot in parts', () => {
    const index = begun();
    index.lose('i');
    for (const events of [[{ kind: 'cleared' } as const, stored('a')], [stored('b')], [stored('c')]]) {
      expect(index.apply(told(7, ...events))).to.equal('applied');
    }
    expect(index.apply(told(8, stored('d')))).to.equal('applied');
    expect(index.numMatching('i', listed(['a', 'b', 'c', 'd']))).to.equal(4);
  });

  it('holds no more than it may, of all instances together, and has room again when blocks go', () => {
    const index = begun(3);
    index.add('j', 'y');
    index.apply(told(0, stored('a', 'b')));
    index.apply({ instance: 'j', incarnation: 'y', sequence: 0, events: [stored('a', 'b')] });
    expect([index.size, index.numDropped, index.numMatching('j', listed(['a', 'b']))]).to.deep.equal([3, 1, 1]);
    index.remove('i');
    index.apply({ instance: 'j', incarnation: 'y', sequence: 1, events: [stored('b')] });
    expect([index.size, index.numMatching('j', listed(['a', 'b']))]).to.deep.equal([2, 2]);
  });
});
