import { expect } from 'chai';
import { slowFigures } from '../../../bench/slow/figures.js';
import type { StepCost } from '../../../bench/slow/step_costs.js';

const cost = (stepMs: number, workMs: readonly number[], rows: readonly number[], sequences = rows): StepCost => ({
  ...{ stepMs, workMs, rows, sequences },
});

describe('what a slow rank costs', () => {
  it('is told beside work that is divided by what ranks can, and waiting that stays', () => {
    const { ideal_ms, rows } = slowFigures(
      {
        even: [cost(5, [3, 3], [9, 9]), cost(5, [2, 4], [9, 9]), cost(50, [3, 3], [9, 9])],
        ignored: [cost(8, [3, 6], [10, 10])],
        shared: [cost(6, [4, 4.5], [16, 4], [3, 1])],
      },
      2,
    );
    // 3 ms of work for two ranks, by one and a half: 4 ms, and 2 ms of waiting.
    expect(ideal_ms).to.be.closeTo(6, 1e-9);
    const [even, ignored, shared] = rows;
    expect(even).to.include({ variant: 'even', step_ms: 5, slow_rows: 0.5, steps: 3 });
    expect(ignored!.ratio).to.be.closeTo(8 / 6, 1e-9);
    expect(shared).to.include({ ratio: 1, slow_rows: 0.2, slow_sequences: 0.25, slow_busy: 0.75 });
    expect(shared!.others_busy).to.be.closeTo(2 / 3, 1e-9);
  });
});
