import { expect } from 'chai';
import { isThere, statesAfter, type RankState } from '../../../../lib/head/observing/rank_states.js';

const change = (
  present: readonly number[],
  { lost = [], leaving = [], demoted = [] }: Partial<Record<'lost' | 'leaving' | 'demoted', readonly number[]>> = {},
) => ({
  members: { present: new Set(present), leaving: new Set(leaving), demoted: new Set(demoted) },
  lost: lost.map((rank) => ({ rank })),
});

describe('what has become of each rank', () => {
  it('is told up to the highest seat that was ever taken', () => {
    let states: readonly RankState[] = statesAfter([], change([0, 1]));
    expect(states).to.deep.equal(['present', 'present']);
    states = statesAfter(states, change([0, 1, 4]));
    expect(states).to.deep.equal(['present', 'present', 'left', 'left', 'present']);
    states = statesAfter(states, change([0, 1]));
    expect(states).to.deep.equal(['present', 'present', 'left', 'left', 'left']);
  });

  it('tells who was lost from who went, until somebody has the seat', () => {
    let states = statesAfter(['present', 'present', 'present'], change([0], { lost: [1] }));
    expect(states).to.deep.equal(['present', 'lost', 'left']);
    states = statesAfter(states, change([0, 2]));
    expect(states).to.deep.equal(['present', 'lost', 'present']);
    states = statesAfter(states, change([0, 1, 2]));
    expect(states).to.deep.equal(['present', 'present', 'present']);
  });

  it('tells who is on the way out, and who holds no experts', () => {
    const states = statesAfter(['present', 'present'], change([0, 1, 2], { leaving: [1, 2], demoted: [0, 2] }));
    expect(states).to.deep.equal(['demoted', 'leaving', 'leaving']);
    expect(states.every(isThere)).to.equal(true);
    expect([undefined, 'lost', 'left'].some((state) => isThere(state as RankState | undefined))).to.equal(false);
  });
});
