import { expect } from 'chai';
import { STEP_PHASES, Stopwatch } from '../../../compute/base/stopwatch.js';

/** Keeps the processor busy for a few clock ticks. */
function work(): void {
  const start = performance.now();
  while (performance.now() === start) Math.sqrt(start);
}

describe('stopwatch', () => {
  it('laps sum to the time from start to the last lap', () => {
    const clock = new Stopwatch();
    const beforeStart = performance.now();
    clock.start();
    const afterStart = performance.now();
    let beforeLast = afterStart;
    for (const phase of [...STEP_PHASES, ...STEP_PHASES]) {
      work();
      beforeLast = performance.now();
      clock.lap(phase);
    }
    const afterLast = performance.now();
    const spent = clock.take();
    const sum = Object.values(spent).reduce((a, b) => a + b, 0);
    expect(sum).to.be.at.least(beforeLast - afterStart - 1e-6);
    expect(sum).to.be.at.most(afterLast - beforeStart + 1e-6);
    for (const phase of STEP_PHASES) expect(spent[phase], phase).to.be.above(0);
  });

  it('take gives every phase and forgets', () => {
    const clock = new Stopwatch();
    work();
    clock.lap('gate');
    expect(Object.keys(clock.take())).to.have.members([...STEP_PHASES]);
    expect(Object.values(clock.take())).to.deep.equal(STEP_PHASES.map(() => 0));
  });

  it('start forgets the laps of a step that was abandoned', () => {
    const clock = new Stopwatch();
    work();
    clock.lap('gate');
    clock.start();
    work();
    clock.lap('attention');
    const { gate, attention } = clock.take();
    expect(gate).to.equal(0);
    expect(attention).to.be.above(0);
  });
});
