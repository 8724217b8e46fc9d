import { expect } from 'chai';
import { onlyRuns } from '../../../../lib/commands/experiment/only.js';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { plannedRun } from '../../../kit/experiment/runs.js';
import { errorOf } from '../../../kit/rejects.js';

const runs = [1, 2, 4].flatMap((ranks) =>
  ['bf16', '8'].map((wire, seed) => plannedRun({ point: { 'parallel.ranks': ranks, wire, 'a.b': [ranks] }, seed })),
);
const asked = (...conditions: readonly string[]): readonly string[] =>
  runs
    .filter(onlyRuns(conditions, runs))
    .map(({ point, seed }) => `${JSON.stringify(point['parallel.ranks'])} ${seed}`);

describe('the runs that --only asks for', () => {
  it('are all where nothing is asked', () => {
    expect(asked()).to.have.length(6);
    expect([].filter(onlyRuns([], []))).to.deep.equal([]);
  });

  it('have the value, as YAML has it or as text', () => {
    expect(asked('parallel.ranks=2')).to.deep.equal(['2 0', '2 1']);
    expect(asked('wire=8')).to.deep.equal(['1 1', '2 1', '4 1']);
    expect(asked('a.b=[4]')).to.deep.equal(['4 0', '4 1']);
  });

  it('have one of several values of a key, and of several keys all', () => {
    expect(asked('parallel.ranks=2', 'parallel.ranks=1', 'seed=0')).to.deep.equal(['1 0', '2 0']);
    expect(asked(`id=${runs[3]!.id}`)).to.deep.equal(['2 1']);
  });

  it('are refused where there are none', async () => {
    const messageOf = async (...conditions: readonly string[]): Promise<string> =>
      (await errorOf(UsageError, () => onlyRuns(conditions, runs))).message;
    expect(await messageOf('ranks')).to.match(/^--only ranks is no KEY=VALUE; give such as/);
    expect(await messageOf('paralel.ranks=2')).to.match(/is not swept; did you mean parallel\.ranks\?$/);
    expect(await messageOf('x=2')).to.match(
      /is not swept; there are parallel\.ranks, wire, a\.b, id, round, seed, repeat$/,
    );
    expect(await messageOf('parallel.ranks=3')).to.match(/no run has that value; it has 1, 2, 4$/);
    expect(await messageOf('parallel.ranks=1', `id=${runs[3]!.id}`)).to.match(/^no run has parallel\.ranks=1 and id=/);
  });
});
