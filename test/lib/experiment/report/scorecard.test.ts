import { expect } from 'chai';
import fc from 'fast-check';
import type { PlotSettings } from '../../../../lib/experiment/base/experiment.js';
import { cellText, type TableBlock } from '../../../../lib/experiment/document/document.js';
import { SCORECARD } from '../../../../lib/experiment/measures/scorecard.js';
import { paretoFront } from '../../../../lib/experiment/report/pareto.js';
import { plotFigures } from '../../../../lib/experiment/report/plots.js';
import { resultsOf } from '../../../../lib/experiment/report/results.js';
import { isScorecard, scorecard } from '../../../../lib/experiment/report/scorecard.js';
import { rowOf } from '../../../kit/experiment/rows.js';
import { SAMPLE } from '../../../kit/experiment/sample_results.js';

const LABELS = ['f32', 'int8', 'one rank', 'worse'];
const VALUES: Readonly<Record<string, readonly number[]>> = {
  kl_nats: [0, 0.002, 0, 0.01],
  goodput_per_s: [5, 6, 3, 4],
  core_s_per_mtoken: [400, 380, 350, 420],
};
const results = resultsOf(
  {
    ...SAMPLE,
    ...{ axes: [{ key: 'label', values: LABELS }], baseline: { label: 'f32' }, plots: [] },
    metrics: { ...SCORECARD.effect, ...SCORECARD.performance, ...SCORECARD.cost },
  },
  LABELS.map((label, i) => {
    const metrics = Object.fromEntries(Object.entries(VALUES).map(([name, values]) => [name, values[i]!]));
    return rowOf({ label }, metrics, { index: i, measure: { kind: 'scorecard' } });
  }),
);

describe('the Pareto front', () => {
  it('has what nothing betters in all respects, each in its direction', () => {
    const points = [
      [1, 10],
      [2, 20],
      [2, 10],
      [1, 20],
    ];
    expect(paretoFront(points, ['higher', 'lower'])).to.deep.equal([false, false, true, false]);
    expect(paretoFront(points, ['higher', 'higher'])).to.deep.equal([false, true, false, false]);
  });

  it('has equal points together, and none that lacks a number', () => {
    expect(paretoFront([[1], [1], [null], [0]], ['higher'])).to.deep.equal([true, true, false, false]);
  });

  it('tells points apart where their intervals do', () => {
    const wide = [
      [1, [4, 6]],
      [2, [5, 7]],
    ] as const;
    expect(paretoFront(wide, ['lower', 'higher'])).to.deep.equal([true, false]);
    expect(paretoFront([[1, [4, 5]] as const, [2, [6, 7]] as const], ['lower', 'higher'])).to.deep.equal([true, true]);
  });

  it('is what comparing all pairs says, and never empty', () => {
    const point = fc.tuple(
      fc.integer({ min: 0, max: 4 }),
      fc.integer({ min: 0, max: 4 }),
      fc.integer({ min: 0, max: 4 }),
    );
    fc.assert(
      fc.property(fc.array(point, { minLength: 1, maxLength: 12 }), (points) => {
        const front = paretoFront(points, ['higher', 'higher', 'higher']);
        expect(front).to.include(true);
        for (const [i, own] of points.entries()) {
          const isBeaten = points.some(
            (other) => other.every((v, k) => v >= own[k]!) && other.some((v, k) => v > own[k]!),
          );
          expect(front[i]).to.equal(!isBeaten);
        }
      }),
    );
  });
});

describe('a scorecard', () => {
  const blocks = scorecard(results);
  const tables = blocks.filter((block): block is TableBlock => block.kind === 'table');

  it('is made of results of that measure alone', () => {
    expect([isScorecard(results), isScorecard(resultsOf(SAMPLE, [rowOf({}, {})]))]).to.deep.equal([true, false]);
  });

  it('marks who is on the front, by the first metric of each corner', () => {
    const [front] = tables;
    expect(front!.columns.map(({ title }) => title)).to.deep.equal([
      ...['label', 'kl ↓', 'goodput per s ↑', 'core s per mtoken ↓', 'Pareto front'],
    ]);
    expect(front!.rows.map((row) => [cellText(row[0]!), cellText(row.at(-1)!)])).to.deep.equal([
      ...[
        ['f32 †', '● on the front'],
        ['int8', '● on the front'],
        ['one rank', '● on the front'],
      ],
      ['worse', ''],
    ]);
  });

  it('takes what f32 can’t say for equal, and says what one run is worth', () => {
    const rows = [2.02e-13, 2.06e-13].map((kl, i) =>
      rowOf({ label: LABELS[i]! }, { kl_nats: kl, goodput_per_s: 5 + i, core_s_per_mtoken: 400 }, { index: i }),
    );
    const table = scorecard(resultsOf(results.experiment, rows)).find((block) => block.kind === 'table')!;
    expect(table.rows.map((row) => cellText(row.at(-1)!))).to.deep.equal(['', '● on the front']);
    expect(table.caption).to.include('noise alone');
  });

  it('has a table for each corner, and a picture with an axis for each metric that differs', () => {
    expect(tables.slice(1).map(({ caption }) => caption.split(':')[0])).to.deep.equal([
      'Effect',
      'Performance',
      'Cost',
    ]);
    const figure = blocks.find((block) => block.kind === 'figure')!;
    const { layer } = figure.spec as { layer: { data: { values: { axis: string; height: number }[] } }[] };
    const marks = layer[0]!.data.values;
    expect(new Set(marks.map(({ axis }) => axis)).size).to.equal(3);
    expect(marks.filter(({ axis }) => axis.startsWith('core')).map(({ height }) => height.toFixed(2))).to.deep.equal([
      ...['0.29', '0.57', '1.00', '0.00'],
    ]);
  });

  it('keeps the name of its picture from those of the file', () => {
    const plot: PlotSettings = {
      ...{ title: 'Scorecard', mark: 'auto', x: 'label', y: 'kl_nats', color: null, facet: null },
      ...{ scale: { x: 'linear', y: 'linear' }, error: 'none', ratio: false },
    };
    const figures = plotFigures({ ...results, experiment: { ...results.experiment, plots: [plot] } });
    expect(figures.map(({ name }) => name)).to.deep.equal(['scorecard-2']);
  });
});
