import { expect } from 'chai';
import { ExperimentError } from '../../../../lib/experiment/base/errors.js';
import type { RunResult } from '../../../../lib/experiment/base/run.js';
import { lineOf, parseRows, rowOf, rowsOfPlan } from '../../../../lib/experiment/runs/rows.js';
import { ENVIRONMENT, METRICS, plannedRun, RESULT } from '../../../kit/experiment/runs.js';
import { errorOf } from '../../../kit/rejects.js';

const EXPERIMENT = { name: 'played', metrics: METRICS };
const TIMES = { startedAt: new Date(0), durationMs: 1234.56 };
const result: RunResult = { ...RESULT, measureMs: 1000, environment: { ...ENVIRONMENT, commit: 'abc' } };

const row = (repeat: number, text = 'é'): ReturnType<typeof rowOf> =>
  rowOf(
    EXPERIMENT,
    plannedRun({ repeat, index: repeat, point: { text } }),
    { status: 'ok', result },
    TIMES,
    ENVIRONMENT,
  );

describe('a row of results', () => {
  it('has all of the run, what was measured with units, and what the process and the runner took beside it', () => {
    const { metrics, units, duration_ms, overhead_ms, started_at, commit, error, seed, config } = row(2);
    expect(metrics).to.deep.equal(RESULT.metrics);
    expect(units).to.deep.equal({ tokens: 'tokens', share: '', tokens_sha256: '', missing: 'ms' });
    expect([duration_ms, overhead_ms, started_at]).to.deep.equal([1234.6, 234.6, '1970-01-01T00:00:00.000Z']);
    expect([commit, error, seed, config]).to.deep.equal(['abc', null, 1, {}]);
  });

  it('of a run that failed says why, and what the runner ran with', () => {
    const error = { code: 'RUN_TIMED_OUT', message: 'too long; raise it' };
    const failed = rowOf(EXPERIMENT, plannedRun(), { status: 'timed_out', error }, TIMES, ENVIRONMENT);
    expect(failed).to.deep.include({ status: 'timed_out', error, metrics: {}, overhead_ms: null, ...ENVIRONMENT });
  });
});

describe('the lines of results', () => {
  const rows = [row(0), row(1), row(2)];
  const text = rows.map(lineOf).join('');

  it('are read again as they were written', () => {
    expect(parseRows('r', text)).to.deep.equal(rows);
    expect(parseRows('r', '')).to.deep.equal([]);
  });

  it('cut off at any byte lose the line that is cut alone', () => {
    const bytes = Buffer.from(text);
    for (let end = 0; end < bytes.length; end++) {
      const cut = bytes.toString('utf8', 0, end);
      const ids = parseRows('r', cut).map(({ id }) => id);
      if (ids.length !== cut.split('\n').length - 1) expect.fail(`${ids.length} rows of ${end} bytes`);
    }
  });

  it('lose a last one that is torn or never came, also where its end is there', () => {
    for (const last of ['{"id":\n', '\0\0\0\0', '\0\0\0\0\n\0\n', '\n \n']) {
      expect(parseRows('r', text + last), JSON.stringify(last)).to.deep.equal(rows);
    }
  });

  it('count as the last that was written of a run', () => {
    const again = { ...rows[0]!, duration_ms: 1 };
    expect(parseRows('r', text + lineOf(again))).to.deep.equal([again, rows[1], rows[2]]);
  });

  it('are refused where another than the last can’t be read', async () => {
    for (const broken of ['{"id":', '{}', '7', 'null']) {
      const error = await errorOf(ExperimentError, () =>
        parseRows('a/results.jsonl', lineOf(rows[0]!) + broken + '\n' + lineOf(rows[1]!)),
      );
      expect(error.message).to.match(/^BROKEN_RESULTS: line 2 of a\/results\.jsonl can't be read \(.*\); delete/);
    }
  });

  it('are those of a plan that grew, at their new places', () => {
    const runs = [plannedRun({ repeat: 5 }), plannedRun({ repeat: 1, index: 7, round: 3, point: { text: 'é' } })];
    const { rows: own, others } = rowsOfPlan(rows, runs, 'renamed');
    expect(own).to.deep.equal([{ ...rows[1]!, experiment: 'renamed', index: 7, round: 3 }]);
    expect(others).to.deep.equal([rows[0], rows[2]]);
  });
});
