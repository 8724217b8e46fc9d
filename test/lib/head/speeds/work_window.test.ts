import { expect } from 'chai';
import type { RankWork } from '../../../../lib/head/speeds/rank_work.js';
import { WorkWindow } from '../../../../lib/head/speeds/work_window.js';

const work = (experts: number, own: number): RankWork => ({
  experts: { work: 10 * experts, ms: experts },
  own: { work: own, ms: own },
});

/** Steps until a window of such steps is full. */
function stepsOf(window: WorkWindow, step: readonly (RankWork | null)[]): number {
  for (let i = 1; ; i++) if (window.add(step)) return i;
}

describe('a window of work', () => {
  it('has at least 16 steps, and as many as the busiest ranks compute a quarter of a second in', () => {
    expect(stepsOf(new WorkWindow(), [work(100, 100), work(1, 1)])).to.equal(16);
    expect(stepsOf(new WorkWindow(), [work(1, 1), null, work(2, 3)])).to.equal(50);
  });

  it('gives means of the steps in which there was work of a kind, and nothing where there was too little', () => {
    const window = new WorkWindow();
    for (let i = 0; i < 8; i++) {
      window.add([work(20, 2), work(0, 4), null]);
      window.add([work(40, 0), work(1, 4), null]);
    }
    expect(window.take(4)).to.deep.equal({
      experts: [{ work: 300, ms: 30 }, null, null, null],
      own: [{ work: 2, ms: 2 }, { work: 4, ms: 4 }, null, null],
    });
    expect(window.take(1)).to.deep.equal({ experts: [null], own: [null] });
  });
});
