import { expect } from 'chai';
import { BlockHasher, BlockKeys } from '../../../../../lib/head/scheduling/blocks/block_keys.js';

const ANY = { seed: 'model', separatesForms: false };
const EXACT = { seed: 'model', separatesForms: true };

/** Of the full blocks of a prompt and of what was generated behind it. */
function keysOf(promptTokenIds: number[], blockSize: number, outputTokenIds: number[] = [], how = EXACT): string[] {
  const keys = new BlockKeys(new BlockHasher(blockSize, how), { promptTokenIds, outputTokenIds });
  const numFull = Math.floor((promptTokenIds.length + outputTokenIds.length) / blockSize);
  return Array.from({ length: numFull }, (_, i) => keys.at(i));
}

describe('keys of blocks', () => {
  it('are equal exactly for full blocks with equal tokens from the first one on', () => {
    const keys = keysOf([1, 2, 3, 4, 5], 2);
    expect(keys).to.have.length(2);
    expect(keysOf([1, 2, 3, 4, 6, 7], 2).slice(0, 2)).to.deep.equal(keys);
    expect(keysOf([3, 4], 2)[0], 'the same tokens elsewhere').not.to.equal(keys[1]);
    expect(keysOf([1, 2, 3, 4], 4)[0], 'in larger blocks').not.to.equal(keys[1]);
    expect(keysOf([258], 1)[0]).not.to.equal(keysOf([2], 1)[0]);
    expect(keysOf([1, 2], 2, [], { ...EXACT, seed: 'another' })[0], 'of another model').not.to.equal(keys[0]);
  });

  it('tell generated tokens from those of a prompt where these have other bits, in their block and all behind it', () => {
    const exact = keysOf([1, 2, 3, 4, 5, 6, 7, 8], 2);
    expect(keysOf([1, 2, 3], 2, [4, 5, 6, 7, 8]).map((key, i) => key === exact[i])).to.deep.equal([
      true,
      false,
      false,
      false,
    ]);
    expect(keysOf([1, 2, 3], 2, [4, 5, 6])).to.deep.equal(keysOf([1, 2, 3], 2, [4, 5, 6, 7]));
    expect(keysOf([1, 2, 3], 2, [4, 5, 6])[2]).not.to.equal(keysOf([1, 2], 2, [3, 4, 5, 6])[2]);
    expect(keysOf([1, 2, 3], 2, [4, 5, 6, 7, 8], ANY)).to.deep.equal(keysOf([1, 2, 3, 4, 5, 6, 7, 8], 2, [], ANY));
  });

  it('are made when they are asked for, in any order', () => {
    const outputTokenIds: number[] = [];
    const keys = new BlockKeys(new BlockHasher(2, EXACT), { promptTokenIds: [1, 2, 3], outputTokenIds });
    outputTokenIds.push(4, 5, 6);
    expect([keys.at(2), keys.at(0), keys.at(1)]).to.deep.equal(
      [2, 0, 1].map((i) => keysOf([1, 2, 3], 2, [4, 5, 6])[i]),
    );
  });
});
