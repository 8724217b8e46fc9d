import { parse } from 'csv-parse/sync';
import { expect } from 'chai';
import { resultsCsv, summaryCsv } from '../../../../lib/experiment/report/csv.js';
import { summarize } from '../../../../lib/experiment/summary/summarize.js';
import { failedRow, METRICS, rowOf } from '../../../kit/experiment/rows.js';

const LABELS = ['a, "quoted"', 'two\nlines'];
const EXPERIMENT = {
  axes: [
    { key: 'label', values: LABELS },
    { key: 'engine.list', values: [[1, 2]] },
  ],
  metrics: METRICS,
  baseline: { label: LABELS[0]! },
};
const [FIRST, SECOND] = LABELS.map((label) => ({ label, 'engine.list': [1, 2] })) as [object, object];
const ROWS = [
  rowOf(FIRST as never, { tokens_per_s: 100.5, bytes_per_token: 512, tokens_sha256: 'a' }),
  rowOf(FIRST as never, { tokens_per_s: 99.5, bytes_per_token: 512, tokens_sha256: 'a' }, { repeat: 1 }),
  rowOf(SECOND as never, { tokens_per_s: 201, bytes_per_token: null, tokens_sha256: 'a' }),
  failedRow(SECOND as never, { repeat: 1 }),
];

const read = (csv: string): Record<string, string>[] => parse(csv, { columns: true });

describe('results as CSV', () => {
  it('have a line per run, with what it measured, failed ones too', () => {
    const lines = read(resultsCsv(EXPERIMENT, ROWS));
    expect(lines.map(({ label, repeat, status, tokens_per_s: speed }) => [label, repeat, status, speed])).to.deep.equal(
      [
        [LABELS[0], '0', 'ok', '100.5'],
        [LABELS[0], '1', 'ok', '99.5'],
        [LABELS[1], '0', 'ok', '201'],
        [LABELS[1], '1', 'failed', ''],
      ],
    );
    expect(lines[0]).to.include({ 'engine.list': '[1,2]', tokens_sha256: 'a', commit: 'c0ffee', error: '' });
    expect(JSON.parse(lines[0]!.machine!)).to.deep.equal({ cpu: 'a processor', cores: 2 });
    expect(lines[3]!.error).to.match(/^RUN_FAILED/);
  });

  it('have, of each point and number, mean, interval and ratio', () => {
    const lines = read(summaryCsv(EXPERIMENT, summarize(EXPERIMENT, ROWS)));
    expect(lines.map(({ label, metric, n, mean, ratio }) => [label, metric, n, mean, ratio])).to.deep.equal([
      [LABELS[0], 'tokens_per_s', '2', '100', ''],
      [LABELS[0], 'bytes_per_token', '1', '512', ''],
      [LABELS[1], 'tokens_per_s', '1', '201', '2'],
    ]);
    expect(lines[0]).to.include({
      unit: 'tokens/s',
      better: 'higher',
      kind: 'time',
      is_baseline: '1',
      num_failed: '0',
    });
    expect(Number(lines[0]!.ci_low)).to.be.closeTo(100 - 12.706 * 0.5, 1e-3);
  });
});
