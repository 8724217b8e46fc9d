import { expect } from 'chai';
import { killPlan, type KillOptions, type PlannedFault } from '../../../../bench/experiment/serving/kill_plan.js';

describe('a plan of kills', () => {
  const options = { kind: 'rate', perMinute: 6, returnMs: 1000, seed: 7 } as const;
  function first(count: number, of: KillOptions): PlannedFault[] {
    const plan: PlannedFault[] = [];
    for (const fault of killPlan(of)) {
      plan.push(fault);
      if (plan.length === count) break;
    }
    return plan;
  }

  it('is the same for one seed, and another one for another', () => {
    expect(first(20, options)).to.deep.equal(first(20, options));
    expect(first(20, options)).to.not.deep.equal(first(20, { ...options, seed: 8 }));
  });

  it('has as many kills a minute, with gaps from half of the mean to one and a half', () => {
    const kills = first(400, options).filter(({ kind }) => kind === 'kill');
    const gaps = kills.slice(1).map(({ atMs }, i) => atMs - kills[i]!.atMs);
    for (const gap of gaps) expect(gap).to.be.within(5000, 15_000);
    expect(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length).to.be.closeTo(10_000, 700);
  });

  it('has a rank join so long after each, in the order of time, though others are killed before', () => {
    const plan = first(40, { ...options, returnMs: 25_000 });
    const times = plan.map(({ atMs }) => atMs);
    expect(times).to.deep.equal([...times].sort((a, b) => a - b));
    const [kills, joins] = [plan.filter(({ kind }) => kind === 'kill'), plan.filter(({ kind }) => kind === 'join')];
    expect(joins.map(({ atMs }) => atMs)).to.deep.equal(kills.slice(0, joins.length).map(({ atMs }) => atMs + 25_000));
    expect(first(40, { ...options, returnMs: null }).every(({ kind }) => kind === 'kill')).to.equal(true);
  });

  it('of one kill has that and the rank that joins', () => {
    const once = { kind: 'once', atMs: 500, returnMs: 100, seed: 7 } as const;
    expect(first(5, once).map(({ kind, atMs }) => [kind, atMs])).to.deep.equal([
      ['kill', 500],
      ['join', 600],
    ]);
    expect(first(5, { ...once, returnMs: null })).to.have.length(1);
  });

  it('without kills is none', () => {
    expect(first(1, { ...options, perMinute: 0 })).to.deep.equal([]);
  });
});
