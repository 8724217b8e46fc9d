import { expect } from 'chai';
import type { ResultRow } from '../../../../lib/experiment/base/run.js';
import { findingsOf } from '../../../../lib/experiment/summary/findings.js';
import { baselineOf } from '../../../../lib/experiment/summary/pairs.js';
import { comparedRows, summarize } from '../../../../lib/experiment/summary/summarize.js';
import { failedRow, METRICS, rowOf } from '../../../kit/experiment/rows.js';

const ONE = { 'parallel.ranks': 1 };
const TWO = { 'parallel.ranks': 2 };
const EXPERIMENT = {
  axes: [{ key: 'parallel.ranks', values: [1, 2] }],
  metrics: METRICS,
  baseline: ONE,
};

/** The machine of the second round is half as fast. */
const DRIFTING: readonly ResultRow[] = [
  rowOf(ONE, { tokens_per_s: 100, bytes_per_token: 512, tokens_sha256: 'a' }),
  rowOf(TWO, { tokens_per_s: 150, bytes_per_token: 1024, tokens_sha256: 'a' }),
  rowOf(ONE, { tokens_per_s: 50, bytes_per_token: 512, tokens_sha256: 'a' }, { repeat: 1 }),
  rowOf(TWO, { tokens_per_s: 75, bytes_per_token: 1024, tokens_sha256: 'a' }, { repeat: 1 }),
];

describe('the summary of results', () => {
  it('a ratio is that of the pair of each round, so that the machine’s drift is in none', () => {
    const [, two] = summarize(EXPERIMENT, DRIFTING);
    expect(two!.ratios.tokens_per_s).to.deep.equal({ n: 2, mean: 1.5, stdev: 0, ci: [1.5, 1.5], min: 1.5, max: 1.5 });
    expect(two!.metrics.tokens_per_s).to.deep.include({ n: 2, mean: 112.5, min: 75, max: 150 });
  });

  it('the baseline is marked and compared with nothing', () => {
    const [one, two] = summarize(EXPERIMENT, DRIFTING);
    expect([one!.isBaseline, two!.isBaseline, one!.ratios]).to.deep.equal([true, false, {}]);
    expect(summarize({ ...EXPERIMENT, baseline: null }, DRIFTING).map((each) => each.isBaseline)).to.deep.equal([
      false,
      false,
    ]);
  });

  it('a count is one value of each seed, however often it was counted', () => {
    const rows = [...DRIFTING, rowOf(TWO, { bytes_per_token: 1026 }, { seed: 2 })];
    const { bytes_per_token: bytes } = summarize(EXPERIMENT, rows)[1]!.metrics;
    expect([bytes!.n, bytes!.mean]).to.deep.equal([2, 1025]);
    expect(summarize(EXPERIMENT, DRIFTING)[1]!.ratios.bytes_per_token).to.deep.include({ n: 1, mean: 2, ci: null });
  });

  it('what a run didn’t measure, or measured as zero, is in no ratio', () => {
    const rows = [
      rowOf(ONE, { tokens_per_s: 0, bytes_per_token: 10 }),
      rowOf(TWO, { tokens_per_s: 5, bytes_per_token: null }),
    ];
    const [, two] = summarize(EXPERIMENT, rows);
    expect([two!.ratios, two!.metrics.bytes_per_token]).to.deep.equal([{}, undefined]);
  });

  it('where some pairs have no ratio there is none at all: the rest are the runs that went well', () => {
    const of = (own: readonly number[], other: readonly number[]): object => {
      const rows = own.flatMap((value, repeat) => [
        rowOf(ONE, { tokens_per_s: other[repeat]! }, { repeat }),
        rowOf(TWO, { tokens_per_s: value }, { repeat }),
      ]);
      const { ratios, noRatios } = summarize(EXPERIMENT, rows)[1]!;
      const [, two] = comparedRows(EXPERIMENT, rows).filter(({ point }) => point === TWO);
      expect([ratios, two!.ratios, two!.noRatios]).to.deep.equal([{}, {}, ['tokens_per_s']]);
      return noRatios.tokens_per_s!;
    };
    expect(of([5, 0, 0], [5, 5, 5])).to.deep.equal({ kind: 'some', numPairs: 3, numRatios: 1 });
    expect(of([0, 0], [5, 5])).to.deep.equal({ kind: 'to_zero', numPairs: 2, numRatios: 0 });
    expect(of([10, 3], [0, 0])).to.deep.equal({ kind: 'from_zero', numPairs: 2, numRatios: 0 });
    expect(of([0, 0], [0, 0])).to.deep.include({ kind: 'both_zero' });
  });

  it('a run that failed is counted, and is in no figure and no pair', () => {
    const rows = [...DRIFTING.slice(0, 3), failedRow(TWO, { repeat: 1 })];
    const [, two] = summarize(EXPERIMENT, rows);
    expect(two).to.deep.include({
      numOk: 1,
      numFailed: 1,
      error: 'RUN_FAILED: the process ended with 1; read log.txt',
    });
    expect([two!.metrics.tokens_per_s!.n, two!.ratios.tokens_per_s!.n]).to.deep.equal([1, 1]);
  });

  it('of a run that was done again the last row counts', () => {
    const [point] = summarize(EXPERIMENT, [failedRow(ONE), rowOf(ONE, { tokens_per_s: 7 })]);
    expect(point).to.deep.include({ numOk: 1, numFailed: 0, error: null });
  });

  it('a text stands where all runs of a seed agree', () => {
    const other = rowOf(TWO, { tokens_sha256: 'b' }, { repeat: 2 });
    expect(summarize(EXPERIMENT, DRIFTING)[1]!.texts).to.deep.equal({ tokens_sha256: { 1: 'a' } });
    expect(summarize(EXPERIMENT, [...DRIFTING, other])[1]!.texts).to.deep.equal({ tokens_sha256: { 1: null } });
  });

  it('points stand as the file has them, though a value came later', () => {
    const rows = [rowOf(TWO, {}, { index: 0 }), rowOf(ONE, {}, { index: 0 })];
    expect(summarize(EXPERIMENT, rows).map(({ point }) => point)).to.deep.equal([ONE, TWO]);
  });

  it('rows carry the ratios of their own pair', () => {
    expect(comparedRows(EXPERIMENT, DRIFTING).map(({ ratios }) => ratios.tokens_per_s)).to.deep.equal([1, 1, 1.5, 1.5]);
    expect(comparedRows({ ...EXPERIMENT, baseline: null }, DRIFTING)[0]!.ratios).to.deep.equal({});
  });
});

describe('the baseline of a point', () => {
  const grid = [1, 2].flatMap((ranks) => [8, 16].map((hidden) => ({ ranks, hidden })));

  it('has the baseline’s values and is otherwise the same', () => {
    expect(baselineOf({ hidden: 16, ranks: 2 }, grid, { ranks: 1 })).to.deep.equal({ ranks: 1, hidden: 16 });
    expect(baselineOf({ ranks: 1, hidden: 8 }, grid, { ranks: 1 })).to.deep.equal({ ranks: 1, hidden: 8 });
  });

  it('is, of points given by hand, the one with its label', () => {
    const points = [
      { ranks: 1, label: 'small', a: 1 },
      { ranks: 1, label: 'big', a: 2, b: 3 },
      { ranks: 2, label: 'small', a: 1 },
      { ranks: 2, label: 'big', a: 2, b: 3 },
    ];
    expect(baselineOf(points[3]!, points, { label: 'small' })).to.deep.equal(points[2]);
  });

  it('is nobody where several are as near, none has the values, or none is asked for', () => {
    expect(baselineOf({ ranks: 2, hidden: 32 }, grid, { ranks: 1 })).to.equal(null);
    expect(baselineOf(grid[0]!, grid, { ranks: 4 })).to.equal(null);
    expect(baselineOf(grid[0]!, grid, null)).to.equal(null);
  });
});

describe('what a reader has to know of results', () => {
  it('nothing, where all is well', () => {
    expect(findingsOf(EXPERIMENT, DRIFTING)).to.deep.equal([]);
  });

  it('that runs failed', () => {
    const [finding] = findingsOf(EXPERIMENT, [...DRIFTING.slice(0, 3), failedRow(TWO, { repeat: 1 })]);
    expect(finding!.text).to.match(/^1 of 4 runs failed/);
  });

  it('that a count or a text differs between runs of one seed', () => {
    const other = { tokens_per_s: 9, bytes_per_token: 513, tokens_sha256: 'b' };
    const findings = findingsOf(EXPERIMENT, [...DRIFTING, rowOf(ONE, other, { repeat: 2 })]);
    expect(findings.map(({ kind }) => kind)).to.deep.equal(['differs', 'differs']);
    expect(findings[0]!.text).to.match(/^bytes_per_token differs .* seed 1 at parallel.ranks = 1: 512, 513;/);
    expect(findingsOf(EXPERIMENT, [...DRIFTING, rowOf(ONE, other, { seed: 2 })])).to.deep.equal([]);
  });

  it('that a metric differs at several points, in one sentence', () => {
    const others = [ONE, TWO].map((point) => rowOf(point, { bytes_per_token: 7, tokens_sha256: 'a' }, { repeat: 2 }));
    const findings = findingsOf(EXPERIMENT, [...DRIFTING, ...others]);
    expect(findings).to.have.length(1);
    expect(findings[0]!.text).to.include('parallel.ranks = 1: 512, 7; so it does in 1 more of all points and seeds;');
  });

  it('that rows are of several commits, versions or machines', () => {
    const rows = [...DRIFTING, rowOf(ONE, {}, { seed: 2, commit: 'beef', machine: { cpu: 'another' } })];
    expect(findingsOf(EXPERIMENT, rows).map(({ kind, text }) => `${kind} ${text.slice(0, 29)}`)).to.deep.equal([
      'mixed The rows are of 2 commits: c0',
      'mixed The rows are of 2 machines: c',
    ]);
  });
});
