import { expect } from 'chai';
import fc from 'fast-check';
import { FreeBlocks } from '../../../../compute/wasm/memory/free_blocks.js';
import { FreeBlocksRef } from '../../../refs/free_blocks_ref.js';

const START = 64;
const noLimit = (): void => undefined;

/** Take so many units, or give the i-th of the held blocks back. */
const actions = fc.array(fc.oneof(fc.record({ take: fc.integer({ min: 1, max: 9 }) }), fc.record({ give: fc.nat() })), {
  maxLength: 60,
});

describe('free blocks', () => {
  it('takes and gives as the slow model does: lowest address that fits, neighbours joined, no overlap', () => {
    fc.assert(
      fc.property(actions, (steps) => {
        const blocks = new FreeBlocks(START);
        const model = new FreeBlocksRef(START);
        const held: { address: number; size: number }[] = [];
        for (const step of steps) {
          if ('take' in step) {
            const address = blocks.take(step.take, noLimit);
            expect(address).to.equal(model.take(step.take));
            held.push({ address, size: step.take });
          } else if (held.length > 0) {
            const [{ address, size }] = held.splice(step.give % held.length, 1) as [(typeof held)[number]];
            blocks.give(address, size);
            model.give(address, size);
          }
        }
        // What is asked for when nothing fits tells where free memory without end begins.
        let asked = 0;
        blocks.take(1000, (end) => (asked = end - 1000));
        expect(asked).to.equal(model.end);
      }),
      { numRuns: 500 },
    );
  });

  it('when all is given back, in any order, all is one block again', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 }),
        fc.nat(),
        (sizes, seed) => {
          const blocks = new FreeBlocks(START);
          const held = sizes.map((size) => ({ address: blocks.take(size, noLimit), size }));
          while (held.length > 0) {
            const [{ address, size }] = held.splice(seed % held.length, 1) as [(typeof held)[number]];
            blocks.give(address, size);
          }
          expect(blocks.take(10_000, noLimit)).to.equal(START);
        },
      ),
    );
  });

  it('a refused reserve changes nothing', () => {
    const blocks = new FreeBlocks(START);
    const first = blocks.take(8, noLimit);
    const refuse = (): never => {
      throw new RangeError('full');
    };
    expect(() => blocks.take(8, refuse)).to.throw(RangeError);
    expect(blocks.take(8, noLimit)).to.equal(START + 8);
    blocks.give(first, 8);
    expect(blocks.take(8, refuse)).to.equal(START);
  });
});
