import { expect } from 'chai';
import { PHASES, type FrameKey } from '../../../comm/index.js';
import { hashOfKey, isSameKey, KeyTable, TakenKeys } from '../../../comm/mesh/frame_keys.js';
import { randomOf } from '../../kit/comm/all_to_all.js';

const KEY: FrameKey = { phase: 'combine', step: 70000, layer: 12, microBatch: 1, epoch: 9 };
const textOf = (key: FrameKey): string => `${key.phase}/${key.step}/${key.layer}/${key.microBatch}/${key.epoch}`;

/** Few different keys, so that they come again; large numbers too. */
function keysFrom(seed: number, numSteps: number): () => FrameKey {
  const random = randomOf(seed);
  const below = (n: number): number => Math.floor(random() * n);
  return () => ({
    phase: PHASES[below(2)]!,
    step: below(2) === 0 ? below(numSteps) : 0xffffffff - below(numSteps),
    layer: below(3) * 0x7fff,
    microBatch: below(2) * 0xffff,
    epoch: below(2) * 0xffffffff,
  });
}

describe('frames by key', () => {
  it('are the same where tag and phase are, whatever object says so', () => {
    const changes = [{}, { step: 1 }, { layer: 1 }, { microBatch: 2 }, { epoch: 1 }, { phase: 'barrier' as const }];
    const keys = changes.map((fields) => ({ ...KEY, ...fields }));
    for (const [i, a] of keys.entries()) {
      for (const [j, b] of keys.entries()) expect(isSameKey(a, { ...b })).to.equal(i === j);
    }
    expect(new Set(keys.map(hashOfKey)).size).to.equal(keys.length);
  });

  it('are kept and taken as in a map of texts, also where every hash is the same', () => {
    for (const hash of [hashOfKey, () => 7]) {
      const next = keysFrom(3, 20);
      const table = new KeyTable<number>();
      const reference = new Map<string, number>();
      for (let i = 0; i < 4000; i++) {
        const key = next();
        expect(table.get(key, hash(key))).to.equal(reference.get(textOf(key)));
        if (reference.has(textOf(key))) expect(table.take(key, hash(key))).to.equal(reference.get(textOf(key)));
        else table.add(key, hash(key), i);
        if (!reference.delete(textOf(key))) reference.set(textOf(key), i);
        expect(table.size).to.equal(reference.size);
        expect(table.take({ ...key, step: 1e6 }, hash({ ...key, step: 1e6 }))).to.equal(undefined);
      }
    }
  });

  it('are all found by what they say', () => {
    const table = new KeyTable<number>();
    for (let step = 0; step < 50; step++) table.add({ ...KEY, step }, hashOfKey({ ...KEY, step }), step);
    const even = table.takeWhere(({ step }) => step % 2 === 0);
    expect(even.sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 25 }, (_, i) => 2 * i));
    expect(table.takeWhere(() => true).length).to.equal(25);
    expect(table.size).to.equal(0);
  });
});

describe('keys that were taken', () => {
  it('are remembered, the last 1024 of them, also where many share a chain', () => {
    for (const hash of [hashOfKey, (key: FrameKey) => hashOfKey(key) % 3]) {
      const next = keysFrom(4, 900);
      const taken = new TakenKeys();
      const reference: string[] = [];
      for (let i = 0; i < 6000; i++) {
        const key = next();
        const isKnown = reference.includes(textOf(key));
        expect(taken.has(key, hash(key)), textOf(key)).to.equal(isKnown);
        if (isKnown) continue;
        taken.add(key, hash(key));
        reference.push(textOf(key));
        if (reference.length > 1024) reference.shift();
      }
      expect(reference.length).to.equal(1024);
    }
  });
});
