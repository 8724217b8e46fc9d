import { expect } from 'chai';
import type { PlotSettings } from '../../../lib/experiment/base/experiment.js';
import { comparedRows, type ComparedRow } from '../../../lib/experiment/summary/summarize.js';
import type { ResultRow } from '../../../lib/experiment/base/run.js';
import { renderSvg } from '../../../lib/pictures/render.js';
import { figure } from '../../../lib/pictures/figure.js';
import { axisLabel, metricLabel } from '../../../lib/pictures/sweep/labels.js';
import { sweepPlot } from '../../../lib/pictures/sweep/sweep_plot.js';
import type { Sweep } from '../../../lib/pictures/sweep/fields.js';

const AXES = [
  { key: 'parallel.ranks', values: [1, 2] },
  { key: 'workload.link.delay_ms', values: [0, 5] },
  { key: 'base.planner', values: ['linear', 'eplb'] },
];
const METRICS = {
  tokens_per_s: { unit: 'tokens/s', better: 'higher', kind: 'time', what: '' },
  bytes: { unit: 'B', better: 'lower', kind: 'count', what: '' },
} as const;

/** Tokens/s: 100 × ranks × (delay 0: 1, 5: ½) × (eplb: 2) in the first repeat, 10 more in the second. */
function rowsOf(): ComparedRow[] {
  const rows: object[] = [];
  for (const repeat of [0, 1])
    for (const ranks of [1, 2])
      for (const delay of [0, 5])
        for (const planner of ['linear', 'eplb'])
          rows.push({
            ...{ id: String(rows.length), index: rows.length, seed: 1, repeat, round: repeat, status: 'ok' },
            point: { 'parallel.ranks': ranks, 'workload.link.delay_ms': delay, 'base.planner': planner },
            metrics: {
              tokens_per_s: 100 * ranks * (delay === 0 ? 1 : 0.5) * (planner === 'eplb' ? 2 : 1) + 10 * repeat,
              bytes: 1000 * ranks,
            },
          });
  const experiment = { axes: AXES, metrics: METRICS, baseline: { 'base.planner': 'linear' } };
  return [...comparedRows(experiment, rows as ResultRow[])];
}

const SWEEP: Sweep = { axes: AXES, metrics: METRICS, rows: rowsOf() };
const PLOT: PlotSettings = {
  ...{ title: null, mark: 'auto', x: 'parallel.ranks', y: 'tokens_per_s', color: null, facet: null },
  ...{ scale: { x: 'linear', y: 'linear' }, error: 'ci', ratio: false },
};

const drawn = (plot: Partial<PlotSettings>, sweep = SWEEP): Promise<string> =>
  renderSvg(sweepPlot({ ...PLOT, ...plot }, sweep));

/** What marks say of themselves. */
const labelsOf = (svg: string): string[] =>
  [...svg.matchAll(/aria-label="([^"]*: [^"]*)"/g)].map((match) => match[1]!).filter((label) => label.includes('; '));

describe('pictures of sweeps', () => {
  it('each combination of what is shown is one mark, with its mean, its interval and how often it was measured', async () => {
    const svg = await drawn({ color: 'base.planner', facet: 'workload.link.delay_ms', error: 'range' });
    const labels = labelsOf(svg);
    expect(labels).to.have.length(8);
    expect(labels).to.include(
      'ranks: 2; planner: eplb; delay (ms): 5; tokens/s: 205; lowest to highest: 200 to 210; measurements: 2',
    );
    for (const text of [
      'delay (ms): 0',
      'delay (ms): 5',
      'Mean of 2 measurements',
      'lowest and highest',
      'Higher is',
    ]) {
      expect(svg).to.contain(text);
    }
  });

  it('a caption names the axes that a mark mixes', async () => {
    const svg = (await drawn({ color: 'base.planner' })).replace(/<\/tspan><tspan[^>]*>/g, ' ');
    expect(svg).to.contain('Over all of delay (ms) (0, 5) together.').and.to.contain('Mean of 4 measurements.');
  });

  it('a caption doesn’t name axes that follow from what is shown', async () => {
    const axes = [...AXES, { key: 'label', values: ['1 "linear"', '1 "eplb"', '2 "linear"', '2 "eplb"'] }];
    const rows = SWEEP.rows
      .filter(({ point }) => point['workload.link.delay_ms'] === 0)
      .map((row) => ({
        ...row,
        point: {
          ...row.point,
          label: `${JSON.stringify(row.point['parallel.ranks'])} ${JSON.stringify(row.point['base.planner'])}`,
        },
      }));
    expect(await drawn({ x: 'label' }, { ...SWEEP, axes, rows })).not.to.contain('Over all of');
  });

  it('what follows from the seed counts once for it, and has no interval', async () => {
    const svg = await drawn({ y: 'bytes', color: 'base.planner', facet: 'workload.link.delay_ms' });
    expect(svg).to.contain('One measurement each.').and.not.contain('Whiskers');
    expect(labelsOf(svg)).to.include('ranks: 1; planner: eplb; delay (ms): 0; bytes (B): 1000; measurements: 1');
  });

  it('a count that differs between runs of a seed is drawn as its mean, as tables have it', async () => {
    const rows = SWEEP.rows.map((row) => ({ ...row, metrics: { bytes: row.repeat === 0 ? 1 : 3 } }));
    const labels = labelsOf(
      await drawn({ y: 'bytes', color: 'base.planner', facet: 'workload.link.delay_ms' }, { ...SWEEP, rows }),
    );
    expect(labels).to.include('ranks: 1; planner: eplb; delay (ms): 0; bytes (B): 2; measurements: 1');
  });

  it('a ratio is the geometric mean of pairs', async () => {
    const svg = await drawn({
      mark: 'bar',
      x: 'base.planner',
      facet: 'workload.link.delay_ms',
      color: 'parallel.ranks',
      ratio: true,
    });
    const ratio = figure(Math.sqrt((200 / 100) * (210 / 110)));
    expect(labelsOf(svg).some((label) => label.includes(`tokens/s / baseline: ${ratio}; 95 % interval: `))).to.equal(
      true,
    );
    expect(svg).to.contain('Above 1 is better.');
  });

  it('every kind of mark and scale draws, also with a 0 on a logarithmic scale and a metric along x', async () => {
    const log = { x: 'log', y: 'log' } as const;
    for (const plot of [
      { mark: 'box', x: 'base.planner', color: 'parallel.ranks', scale: log },
      { mark: 'heat', y: 'base.planner', color: 'tokens_per_s' },
      { mark: 'heat', y: 'base.planner', color: 'tokens_per_s', ratio: true, facet: 'workload.link.delay_ms' },
      { x: 'workload.link.delay_ms', scale: log, color: 'base.planner', error: 'stdev' },
      { x: 'bytes', color: 'base.planner', scale: log },
      { x: 'round', color: 'tokens_per_s', error: 'none' },
      { mark: 'bar', x: 'base.planner', color: 'parallel.ranks', scale: log },
      { mark: 'auto', x: 'base.planner', scale: log },
      { mark: 'bar', x: 'base.planner', color: 'tokens_per_s' },
    ] satisfies Partial<PlotSettings>[]) {
      const svg = await drawn(plot);
      expect(svg, JSON.stringify(plot)).to.contain('<svg').and.not.contain('NaN');
      if (plot.facet === undefined) expect(svg).to.match(/^<svg [^>]*width="321"/);
    }
    expect(await drawn({ x: 'workload.link.delay_ms', scale: log })).to.contain('delay (ms), linear below 5');
    expect(labelsOf(await drawn({ x: 'bytes' }))).to.have.length(8); // a point of the sweep each
  });

  it('bars stand where they can begin at 0, and never upon each other', async () => {
    const marksOf = (plot: Partial<PlotSettings>): string[] => {
      const { layer } = sweepPlot({ ...PLOT, mark: 'bar', x: 'base.planner', ...plot }, SWEEP) as {
        layer: { mark: { type: string }; encoding: { y: { stack?: null } } }[];
      };
      return layer.map(({ mark, encoding }) => `${mark.type}${encoding.y.stack === null ? ' alone' : ''}`);
    };
    expect(marksOf({ error: 'none' })[0]).to.equal('bar alone');
    expect(marksOf({ scale: { x: 'linear', y: 'log' } }))
      .to.include('point')
      .and.not.include('bar alone');
    expect(marksOf({ color: 'bytes' }))
      .to.include('point')
      .and.not.include('bar alone');
    expect(await drawn({ mark: 'bar', x: 'base.planner', scale: { x: 'linear', y: 'log' } })).to.match(
      /aria-label="planner: eplb; tokens\/s: /,
    );
  });

  it('without results a picture says so', async () => {
    expect(await drawn({}, { ...SWEEP, rows: [] })).to.contain('No run has a result for this picture.');
    expect(await drawn({ y: 'nothing' })).to.contain('No run has a result for this picture.');
  });

  it('names are short where they are clear, and units stand once', () => {
    expect(axisLabel('a.top_k', [{ key: 'a.top_k', values: [] }])).to.equal('top k');
    expect(
      axisLabel('a.k', [
        { key: 'a.k', values: [] },
        { key: 'b.k', values: [] },
      ]),
    ).to.equal('a.k');
    expect(metricLabel('ttft_p50_ms', { unit: 'ms' })).to.equal('TTFT p50 (ms)');
    expect(metricLabel('tokens_per_s', { unit: 'tokens/s' })).to.equal('tokens/s');
    expect(metricLabel('decode_tokens_per_s', { unit: 'tokens/s' })).to.equal('decode (tokens/s)');
    expect(metricLabel('balancedness', { unit: '' })).to.equal('balancedness');
    expect([12345.6, 0.84623, 5].map(figure)).to.deep.equal(['12,350', '0.8462', '5']);
  });
});
