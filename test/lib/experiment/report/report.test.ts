import { expect } from 'chai';
import type { Block, TableBlock } from '../../../../lib/experiment/document/document.js';
import { cellText } from '../../../../lib/experiment/document/document.js';
import { markdown } from '../../../../lib/experiment/document/markdown.js';
import type { ResultRow } from '../../../../lib/experiment/base/run.js';
import { reportOf } from '../../../../lib/experiment/report/report.js';
import { resultsOf } from '../../../../lib/experiment/report/results.js';
import { rowOf } from '../../../kit/experiment/rows.js';
import { SAMPLE, sampleRows } from '../../../kit/experiment/sample_results.js';

const report = (rows: readonly ResultRow[] = sampleRows(), experiment = SAMPLE): readonly Block[] =>
  reportOf(resultsOf(experiment, rows)).blocks;
const textOf = (blocks: readonly Block[]): string => markdown({ title: 'a', blocks }, (name) => name);
const tablesOf = (blocks: readonly Block[]): readonly TableBlock[] => blocks.filter((block) => block.kind === 'table');
const rowsOf = ({ rows }: TableBlock): string[][] => rows.map((row) => row.map(cellText));
const sentences = (blocks: readonly Block[]): string => textOf(blocks).replaceAll(/\s+/g, ' ');

describe('a report', () => {
  it('shows the metrics of plots first, with intervals, and ratios in pairs', () => {
    const [means, ratios] = tablesOf(report()) as [TableBlock, TableBlock];
    expect(means.columns.map(({ title, unit }) => `${title} ${unit}`.trim())).to.deep.equal([
      ...['planner', 'num redundant experts', 'runs', 'tokens per s tokens/s', 'balancedness'],
    ]);
    expect(rowsOf(means)[0]).to.deep.equal(['round_robin', '† 0', '6', '234 ± 47', '0.621 ± 0.020']);
    expect(rowsOf(ratios)[2]).to.deep.equal(['eplb', '2', '1.057× [1.041, 1.074] ▲', '1.092× [1.044, 1.142] ▲']);
    expect(ratios.rows).to.have.length(6);
  });

  it('shows no mean over those pairs alone that have no 0, and marks what went to 0', () => {
    const rows = sampleRows().map((row): ResultRow => {
      const planner = row.point['experts.planner'];
      const isZero = row.point['experts.num_redundant_experts'] === 2 && (planner === 'eplb' || row.repeat > 0);
      return isZero ? { ...row, metrics: { ...row.metrics, tokens_per_s: 0 } } : row;
    });
    const ratios = tablesOf(report(rows))[1]!;
    expect(rowsOf(ratios).map((row) => row[2])).to.include.members(['0× ▼', '– (2 of 6 pairs)']);
    expect(ratios.caption).to.include('only so many pairs have a ratio');
  });

  it('says what is better and what is worse, in words', () => {
    const text = textOf(report());
    expect(text).to.match(/\| eplb .*1\.064× \[.*\] ▼/); // memory
    expect(text).to.include('- **`peak_rss_bytes`**: most memory that a rank took; in B; lower is better');
  });

  it('counts are one value of each seed, and say so', () => {
    expect(sentences(report())).to.include(
      'Counts follow from the seed: mean ± half of its 95 % confidence interval over 2 seeds.',
    );
    const one = sampleRows().filter(({ seed }) => seed === 1);
    expect(sentences(report(one))).to.include('Counts follow from the seed: one value, exact.');
  });

  it('says what differs between runs, and gives all that they share', () => {
    const text = textOf(report());
    expect(text).to.include('Runs differ in `engine.seed`, `experts.planner`, `experts.num_redundant_experts`');
    expect(text).to.match(/```yaml\nconfig:\n {2}model: models\/moe-7m\n {2}parallel:\n {4}ranks: 4/);
    expect(text).to.include('    experts.num_redundant_experts: [0, 2, 4]\nrepeats: 3');
  });

  it('says of the measure what all runs share, not what the sweep changes', () => {
    const rows = sampleRows().map((row, i): ResultRow => ({
      ...row,
      measure: { kind: 'generate', top: 5, cost: i % 2 },
    }));
    expect(textOf(report(rows)))
      .to.include('`generate`, top `5`')
      .and.not.include('cost `');
  });

  it('counts the runs that are there, where some of the product are missing', () => {
    expect(sentences(report())).to.match(/: 9 points × seeds 1, 2 × 3 repeats/);
    expect(sentences(report(sampleRows().slice(1)))).to.match(/: 53 of 54: 9 points × seeds 1, 2 × 3 repeats/);
  });

  it('tells of runs that failed: how many, which, why, and what to do', () => {
    const text = sentences(report());
    expect(text).to.include('> **Note.** 1 of 54 runs failed');
    expect(text).to.include('**5 of 6**');
    expect(text).to.match(
      /`0{12}1221` \| experts.planner = eplb, experts.num_redundant_experts = 4 +\| +2 \| +1 \| RUN_FAILED/,
    );
  });

  it('says that all computed the same tokens, or which did', () => {
    expect(sentences(report())).to.include('All points computed the same for every seed: `tokens_sha256`');
    const changed = sampleRows().map((row) =>
      row.point['experts.planner'] === 'eplb' ? { ...row, metrics: { ...row.metrics, tokens_sha256: 'other' } } : row,
    );
    const table = tablesOf(report(changed))[2]!;
    expect(rowsOf(table).map((row) => row[2])).to.deep.equal(['A', 'A', 'A', 'B', 'B', 'B', 'A', 'A', 'A']);
  });

  it('leaves out what follows from the label of points given by hand', () => {
    const labels = ['small', 'big'];
    const axes = [
      { key: 'label', values: labels },
      { key: 'model_overrides.hidden', values: [1, 2] },
      { key: 'parallel.ranks', values: [1, 2] },
    ];
    const rows = labels.flatMap((label, i) =>
      [1, 2].map((ranks) =>
        rowOf({ label, 'model_overrides.hidden': i + 1, 'parallel.ranks': ranks }, { tokens_per_s: 1 }, { index: i }),
      ),
    );
    const [means] = tablesOf(report(rows, { ...SAMPLE, axes, baseline: null }));
    expect(means!.columns.map(({ title }) => title)).to.deep.equal(['label', 'ranks', 'tokens per s']);
  });

  it('is there for one run of one point, without intervals and ratios', () => {
    const { metrics } = sampleRows()[0]!;
    const blocks = report([rowOf({}, metrics)], { ...SAMPLE, axes: [], baseline: null, plots: [] });
    expect(sentences(blocks)).to.include('One run of each point.');
    expect(textOf(blocks)).not.to.match(/±|baseline|NaN|undefined|\[object/);
  });

  it('is there where every run failed', () => {
    const failed = sampleRows().map((row): ResultRow => ({
      ...row,
      ...{ status: 'timed_out', metrics: {}, error: { code: 'RUN_TIMED_OUT', message: 'RUN_TIMED_OUT: 5 s' } },
    }));
    expect(sentences(report(failed)))
      .to.include('54 of 54 runs failed')
      .and.not.match(/NaN|undefined|Infinity/);
  });

  it('has no line and no cell that documents may not have', () => {
    const lines = textOf(report()).split('\n');
    expect(lines.filter((line) => line.length > 260)).to.deep.equal([]);
    const cells = lines
      .filter((line) => line.startsWith('|'))
      .flatMap((line) => line.split('|').map((cell) => cell.trim()));
    expect(cells.filter((cell) => cell.length > 120)).to.deep.equal([]);
  });
});
