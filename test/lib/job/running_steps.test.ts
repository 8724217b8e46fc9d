import { expect } from 'chai';
import { RunningSteps, type LateStep } from '../../../lib/job/running_steps.js';
import type { StepPlan, StepResult } from '../../../lib/protocol/step_plan.js';

/** Steps of three ranks, and what is told of the first that is late. */
function steps(stepMs: number, tailMs: number | null) {
  let tell!: (late: LateStep) => void;
  const late = new Promise<LateStep>((resolve) => (tell = resolve));
  const running = new RunningSteps({ stepMs, tailMs, onLate: tell });
  const begin = (step: number) =>
    running.begin(
      [0, 1, 2].map(() => ({ step, placementVersion: 0 }) as StepPlan),
      new Set([0, 1, 2]),
    );
  const take = (rank: number, step: number): void => void running.take(rank, { step } as StepResult);
  return { running, begin, take, late };
}

describe('steps that run', () => {
  it('a rank that doesn’t finish what others have is late long before the step would be', async () => {
    const { running, begin, take, late } = steps(60_000, 20);
    const first = begin(1);
    void begin(2);
    for (const rank of [0, 1, 2]) take(rank, 1);
    running.finish();
    expect(await first).to.have.property('kind', 'done');
    take(0, 2);
    take(2, 2);
    const { step, missing, since, afterMs } = await late;
    expect({ step, since, missing: [...missing] }).to.deep.equal({ step: 2, since: 'others', missing: [1] });
    expect(afterMs).to.be.within(20, 59_999);
    running.abandon();
  });

  it('a step that no rank finishes is late when its own time is over, and one that is abandoned never', async () => {
    const { running, begin, late } = steps(20, 10_000);
    const abandoned = begin(1);
    expect(running.abandon()).to.equal(1);
    expect(await abandoned).to.deep.equal({ kind: 'abandoned' });
    void begin(2);
    const { step, missing, since } = await late;
    expect({ step, since, missing: [...missing] }).to.deep.equal({ step: 2, since: 'begin', missing: [0, 1, 2] });
    running.abandon();
  });

  it('where a loss ends the job, all have the whole time of a step', async () => {
    const { running, begin, take, late } = steps(30, null);
    void begin(1);
    take(0, 1);
    expect(await late).to.include({ step: 1, since: 'begin', afterMs: 30 });
    running.abandon();
  });
});
