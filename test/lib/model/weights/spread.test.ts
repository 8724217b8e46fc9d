import { expect } from 'chai';
import fc from 'fast-check';
import type { DenseSizes } from '../../../../lib/model/weights/dense_sizes.js';
import { planSpread, unspread, type Spread } from '../../../../lib/model/weights/spread.js';

const size = fc.integer({ min: 1, max: 60 });
const sizes: fc.Arbitrary<DenseSizes> = fc.record({
  layers: fc.array(fc.record({ weights: size, cache: size }), { minLength: 1, maxLength: 5 }),
  embedding: size,
  head: fc.option(size),
  step: size,
  logits: size,
});
/** From one in which hardly anything fits to one that holds all. */
const room = fc.integer({ min: 100, max: 600 });

type Places = Pick<Spread, 'layers' | 'embedding' | 'head'>;

/** What each memory would hold, a step included. */
function bytesOf({ layers, embedding, head, step, logits }: DenseSizes, places: Places, numMemories: number): number[] {
  const bytes = new Array<number>(numMemories).fill(step);
  layers.forEach(({ weights, cache }, layer) => (bytes[places.layers[layer]!]! += weights + cache));
  bytes[places.embedding]! += embedding;
  bytes[places.head]! += (head ?? 0) + logits;
  return bytes;
}

const numHops = ({ embedding, layers, head }: Places): number =>
  [...layers, head].reduce((count, memory, i) => count + Number(memory !== [embedding, ...layers][i]), 0);

/** Every way to lay out a model in so many memories. */
function* allPlaces({ layers, head: ownHead }: DenseSizes, numMemories: number): Generator<Places> {
  const memories = Array.from({ length: numMemories }, (_, i) => i);
  function* rising(length: number, from: number): Generator<number[]> {
    if (length === 0) yield [];
    if (length === 0) return;
    for (let first = from; first < numMemories; first++)
      for (const rest of rising(length - 1, first)) yield [first, ...rest];
  }
  for (const each of rising(layers.length, 0))
    for (const embedding of memories)
      for (const head of ownHead === null ? [embedding] : memories) yield { layers: each, embedding, head };
}

/** The fewest memories, and the fewest hops with as many: tries everything. */
function bestByTrying(given: DenseSizes, memoryBytes: number): { numMemories: number; hops: number } | null {
  for (let numMemories = 1; numMemories <= given.layers.length + 2; numMemories++) {
    const fitting = [...allPlaces(given, numMemories)].filter((places) =>
      bytesOf(given, places, numMemories).every((bytes) => bytes <= memoryBytes),
    );
    if (fitting.length > 0) return { numMemories, hops: Math.min(...fitting.map(numHops)) };
  }
  return null;
}

describe('layers over memories', () => {
  it('take the fewest memories and leave them the fewest times, as trying every way finds; none where a part fits nowhere', () => {
    const counts = new Set<number | null>();
    fc.assert(
      fc.property(sizes, room, (given, memoryBytes) => {
        const found = planSpread(given, memoryBytes);
        const best = bestByTrying(given, memoryBytes);
        counts.add(best?.numMemories ?? null);
        expect(found && { numMemories: found.reservedBytes.length, hops: numHops(found) }).to.deep.equal(best);
      }),
      { numRuns: 250 },
    );
    expect([...counts], 'cases of all kinds').to.include.members([null, 1, 2, 3, 4]);
  });

  it('lie in order, fit beside what is reserved for them, and a tied head lies with its embedding', () => {
    fc.assert(
      fc.property(sizes, room, (given, memoryBytes) => {
        const spread = planSpread(given, memoryBytes);
        if (spread === null) return;
        const { layers, reservedBytes, embedding, head } = spread;
        expect(layers).to.deep.equal([...layers].sort((a, b) => a - b));
        if (given.head === null) expect(head).to.equal(embedding);
        const numMemories = reservedBytes.length;
        const all = bytesOf(given, spread, numMemories);
        const nothingLater = {
          ...given,
          step: 0,
          logits: 0,
          layers: given.layers.map((each) => ({ ...each, cache: 0 })),
        };
        bytesOf(nothingLater, spread, numMemories).forEach((weights, memory) => {
          expect(weights + reservedBytes[memory]!).to.equal(all[memory]);
          expect(all[memory]).to.be.at.most(memoryBytes);
        });
      }),
    );
  });

  it('of a large model are planned at once, and each memory is filled before the next', () => {
    const layer = { weights: 500, cache: 100 };
    const model = {
      layers: new Array<typeof layer>(200).fill(layer),
      embedding: 900,
      head: 900,
      step: 50,
      logits: 100,
    };
    const start = performance.now();
    const { layers, embedding, head } = planSpread(model, 4000)!;
    expect(performance.now() - start).to.be.below(2000);
    expect([embedding, head, layers.at(-1)]).to.deep.equal([0, 33, 33]);
    expect(layers.filter((memory) => memory === 0)).to.have.length(5);
    expect(layers.filter((memory) => memory === 17)).to.have.length(6);
  });

  it('that nobody spreads lie in one memory', () => {
    expect(unspread({ layers: [1, 2] })).to.deep.equal({ layers: [0, 0], embedding: 0, head: 0, reservedBytes: [0] });
  });

  it('thousands of layers over as many memories are planned in a moment', () => {
    const layers = Array.from({ length: 4096 }, () => ({ weights: 50, cache: 9 }));
    const given = { layers, embedding: 60, head: 60, step: 20, logits: 5 };
    const spread = planSpread(given, 100)!;
    const numMemories = spread.reservedBytes.length;
    expect(numMemories).to.equal(4096 + 2);
    expect(Math.max(...bytesOf(given, spread, numMemories))).to.be.at.most(100);
  });
});
