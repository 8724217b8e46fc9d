import { expect } from 'chai';
import { LateLinks } from '../../../../lib/head/speeds/late_links.js';
import type { LateRows } from '../../../../lib/head/speeds/wait_window.js';

const LINK: LateRows = { kind: 'link', from: 0, to: 1, share: 0.5 };
const OTHER: LateRows = { kind: 'link', from: 1, to: 0, share: 0.5 };

/** The windows in which there is news. */
const newsOf = (windows: readonly (LateRows | null)[], links = new LateLinks()): number[] =>
  windows.flatMap((late, i) => (links.judge(late) === null ? [] : [i]));

const times = (count: number, late: LateRows | null): (LateRows | null)[] =>
  new Array<LateRows | null>(count).fill(late);

describe('links over which rows come late', () => {
  it('are told of once they were late for five windows, one after the other', () => {
    expect(newsOf(times(20, LINK))).to.deep.equal([4]);
    expect(newsOf([...times(4, LINK), null, ...times(4, LINK), OTHER, ...times(4, LINK)])).to.deep.equal([]);
    expect(newsOf([...times(5, LINK), ...times(5, OTHER)])).to.deep.equal([4, 9]);
    expect(newsOf(times(20, { kind: 'rank', rank: 0, share: 0.9 }))).to.deep.equal([]);
  });

  it('are told of again much later', () => {
    expect(newsOf(times(600, LINK))).to.deep.equal([4, 260, 516]);
    expect(newsOf([...times(5, LINK), ...times(100, null), ...times(5, LINK)])).to.deep.equal([4]);
  });
});
