import { expect } from 'chai';
import fc from 'fast-check';
import { LruList } from '../../../../../lib/head/scheduling/blocks/lru_list.js';

describe('least recently used first', () => {
  it('holds what an array would, in its order, whatever is added, removed and taken out', () => {
    const action = fc.record({ kind: fc.constantFrom('add', 'add', 'remove', 'shift'), value: fc.nat(5) });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const list = new LruList(6);
        let held: number[] = [];
        for (const { kind, value } of actions) {
          if (kind === 'shift') expect(list.shift()).to.equal(held.shift());
          else held = held.filter((each) => each !== value);
          if (kind === 'add') held.push(value);
          if (kind === 'add') list.add(value);
          if (kind === 'remove') list.remove(value);
          expect(list.size).to.equal(held.length);
          for (let each = 0; each < 6; each++) expect(list.has(each)).to.equal(held.includes(each));
        }
        expect(held.map(() => list.shift())).to.deep.equal(held);
        expect(list.shift()).to.equal(undefined);
      }),
    );
  });
});
