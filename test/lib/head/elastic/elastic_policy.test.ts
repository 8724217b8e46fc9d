import { expect } from 'chai';
import { ElasticPolicy, type LoadSample } from '../../../../lib/head/elastic/elastic_policy.js';

const SETTINGS: ConstructorParameters<typeof ElasticPolicy>[0] = {
  ...{ min_ranks: 1, max_ranks: 4, metric: 'waiting', up: 8, down: 0, interval_steps: 4, cool_down: 10 },
};
const IDLE: LoadSample = { waiting: 0, kv_usage: 0, step_ms: 0, seqUsage: 0 };

/** Decisions over so many steps that all leave the same load. */
function decisions(policy: ElasticPolicy, numRanks: number, sample: Partial<LoadSample>, numSteps: number) {
  const told = Array.from({ length: numSteps }, () => policy.decide(numRanks, { ...IDLE, ...sample }));
  return told.flatMap((decision, i) => (decision === null ? [] : [{ at: i + 1, ...decision }]));
}

describe('the elastic policy', () => {
  it('wants one rank more where the mean of its metric is above "up", after each interval', () => {
    expect(decisions(new ElasticPolicy(SETTINGS), 2, { waiting: 9 }, 9)).to.deep.equal([
      { at: 4, before: 2, after: 3, metric: 'waiting', mean: 9, numSteps: 4 },
      { at: 8, before: 2, after: 3, metric: 'waiting', mean: 9, numSteps: 4 },
    ]);
  });

  it('wants one rank less where it is at "down" or below', () => {
    const [decision] = decisions(new ElasticPolicy(SETTINGS), 3, {}, 4);
    expect(decision).to.include({ before: 3, after: 2, mean: 0 });
  });

  it('takes the mean, so that one step decides nothing', () => {
    const policy = new ElasticPolicy(SETTINGS);
    expect(policy.decide(2, { ...IDLE, waiting: 29 })).to.equal(null);
    expect(decisions(policy, 2, { waiting: 1 }, 3)).to.deep.equal([]);
  });

  it('keeps between "min_ranks" and "max_ranks", and goes back there at once', () => {
    const settings = { ...SETTINGS, min_ranks: 2, max_ranks: 3 };
    expect(decisions(new ElasticPolicy(settings), 3, { waiting: 9 }, 8)).to.deep.equal([]);
    expect(decisions(new ElasticPolicy(settings), 2, {}, 8)).to.deep.equal([]);
    const [lost] = decisions(new ElasticPolicy(settings), 1, {}, 1);
    expect(lost).to.include({ at: 1, before: 1, after: 2, mean: null });
    const [joined] = decisions(new ElasticPolicy(settings), 4, {}, 1);
    expect(joined).to.include({ before: 4, after: 3, mean: null });
  });

  it('rests for "cool_down" steps after a change, then counts an interval anew', () => {
    const policy = new ElasticPolicy(SETTINGS);
    policy.rest(false);
    expect(decisions(policy, 2, { waiting: 9 }, 20).map(({ at }) => at)).to.deep.equal([14, 18]);
  });

  it('makes up for a lost rank even while it rests, unless it could not before', () => {
    const settings = { ...SETTINGS, min_ranks: 2 };
    const policy = new ElasticPolicy(settings);
    policy.rest(false);
    expect(decisions(policy, 1, {}, 1)).to.have.length(1);
    policy.rest(true);
    expect(decisions(policy, 1, {}, 11).map(({ at }) => at)).to.deep.equal([11]);
  });

  it('has no rank go where the others would be nearly full', () => {
    expect(decisions(new ElasticPolicy(SETTINGS), 2, { seqUsage: 0.5 }, 8)).to.deep.equal([]);
    expect(decisions(new ElasticPolicy(SETTINGS), 2, { kv_usage: 0.5 }, 8)).to.deep.equal([]);
    expect(decisions(new ElasticPolicy(SETTINGS), 2, { kv_usage: 0.4, seqUsage: 0.4 }, 4)).to.have.length(1);
  });

  it('has no rank go that the use of KV blocks would call back', () => {
    const settings = { ...SETTINGS, metric: 'kv_usage', up: 0.6, down: 0.4 } as const;
    expect(decisions(new ElasticPolicy(settings), 2, { kv_usage: 0.35 }, 8)).to.deep.equal([]);
    expect(decisions(new ElasticPolicy(settings), 3, { kv_usage: 0.35 }, 4)).to.have.length(1);
    expect(decisions(new ElasticPolicy(settings), 3, { kv_usage: 0.61 }, 4)[0]).to.include({ after: 4 });
  });

  it('goes by the time of a step where it is told so', () => {
    const settings = { ...SETTINGS, metric: 'step_ms', up: 50, down: 10 } as const;
    expect(decisions(new ElasticPolicy(settings), 2, { step_ms: 51 }, 4)[0]).to.include({ after: 3, mean: 51 });
    expect(decisions(new ElasticPolicy(settings), 2, { step_ms: 30 }, 8)).to.deep.equal([]);
    expect(decisions(new ElasticPolicy(settings), 2, { step_ms: 10 }, 4)[0]).to.include({ after: 1 });
  });
});
