import { expect } from 'chai';
import { balanceSpec, type BalancePictures } from '../../../lib/pictures/balance/balance_plots.js';
import { meanOfSteps, promptPhases, rollingMean } from '../../../lib/pictures/balance/over_time.js';
import { slotMarks } from '../../../lib/pictures/balance/slot_map.js';
import { figure } from '../../../lib/pictures/figure.js';
import { htmlPage } from '../../../lib/pictures/html.js';
import { renderSvg } from '../../../lib/pictures/render.js';

const PICTURES: BalancePictures = {
  title: 'a run of <m> & "co"',
  load_LE: [
    [4, 0, 8],
    [1, 2, 3],
    [0, 0, 0],
  ],
  ranks: [
    {
      name: 'before',
      load_LR: [
        [4, 12],
        [3, 3],
        [0, 0],
      ],
      balancedness: 0.75,
    },
    {
      name: 'after',
      load_LR: [
        [6, 6],
        [3, 3],
        [0, 0],
      ],
      balancedness: 1,
    },
  ],
  balanceOverTime: [
    { step: 1, numSteps: 2, meanLoad: 3, maxLoad: 6, numPromptTokens: 7 },
    { step: 3, numSteps: 2, meanLoad: 6, maxLoad: 6 },
    { step: 5, numSteps: 2, meanLoad: 0, maxLoad: 0 },
  ],
  rebalances: [3, 5],
};

/** What marks say of themselves to screen readers: field by field. */
const labelsOf = (svg: string): string[] => [...svg.matchAll(/aria-label="([^"]*)"/g)].map((match) => match[1]!);

/** Its lines joined. */
const lined = (svg: string): string => svg.replaceAll(/<\/tspan><tspan[^>]*>/g, ' ');

describe('balance as pictures', () => {
  it('every cell of the heat maps, every point and every rebalance is there with its value', async () => {
    const svg = await renderSvg(balanceSpec(PICTURES));
    const labels = labelsOf(svg);
    const cells = (column: string, load_LC: readonly ArrayLike<number>[]): string[] =>
      load_LC.flatMap((load_C, layer) => {
        const mean = Array.from(load_C).reduce((a, b) => a + b, 0) / load_C.length;
        const relative = (load: number): string => figure(mean === 0 ? 0 : load / mean);
        return Array.from(
          load_C,
          (load, i) => `${column}: ${i}; layer: ${layer}; load / mean: ${relative(load)}; load: ${load}`,
        );
      });
    const isCell = (label: string): boolean => /; layer: \d+;/.test(label);
    expect(labels.filter(isCell)).to.deep.equal([
      ...cells('expert', PICTURES.load_LE),
      ...PICTURES.ranks.flatMap(({ load_LR }) => cells('rank', load_LR)),
    ]);
    for (const label of [
      'step: 1 to 2; balancedness: 0.5; rolling mean: 0.75; tokens of prompts: 7',
      'step: 3 to 4; balancedness: 1; rolling mean: 0.75',
      'step: 5 to 6; balancedness: 1; rolling mean: 1',
      'rebalanced before step: 3',
      'rebalanced before step: 5',
    ]) {
      expect(labels).to.include(label);
    }
    const text = lined(svg);
    for (const words of [
      'Load of each rank, in total, before',
      'balancedness of the sums 0.750',
      'balancedness of the sums 1.000',
      'all steps together 0.75',
      'Grey: steps with tokens of prompts. Dashed: experts had moved before this step (2 ×).',
    ]) {
      expect(text).to.contain(words);
    }
    expect(svg).to.contain('a run of &lt;m&gt; &amp; "co"');
  });

  it('without a time series there is no such picture, without rebalances no marks', async () => {
    const still = await renderSvg(balanceSpec({ ...PICTURES, balanceOverTime: [], rebalances: [] }));
    expect(still).not.to.contain('Balancedness of each step');
    const calm = await renderSvg(balanceSpec({ ...PICTURES, rebalances: [] }));
    expect(calm).to.contain('Balancedness of each step').and.not.contain('Dashed');
    expect(labelsOf(calm).filter((label) => label.startsWith('rebalanced'))).to.deep.equal([]);
  });

  it('a rolling mean is Σ mean / Σ max of the points around, and neighbouring steps with prompts are one phase', () => {
    const loads = [1, 2, 3, 4].map((maxLoad, i) => ({ step: 1 + i, numSteps: 1, meanLoad: 1, maxLoad }));
    expect(rollingMean(loads, 3)).to.deep.equal([2 / 3, 3 / 6, 3 / 9, 2 / 7]);
    expect(rollingMean(loads, 2)).to.deep.equal(
      [loads.slice(0, 1), loads.slice(0, 2), loads.slice(1, 3), loads.slice(2)].map(meanOfSteps),
    );
    const points = loads.map((point, i) => (i === 2 ? point : { ...point, numPromptTokens: 1 }));
    expect(promptPhases(points)).to.deep.equal([
      { from: 1, to: 3 },
      { from: 4, to: 5 },
    ]);
  });

  it('a plan shows of each slot whether its expert moved there, and whether it is a further replica', async () => {
    const slots = { numRanks: 2, before: [[0, 1, -1, 2, 3, -1]], after: [[0, 2, 0, 2, 3, -1]] };
    const kinds = slotMarks(slots).map(({ rank, expert, kind, numReplicas }) => [rank, expert, kind, numReplicas]);
    expect(kinds).to.deep.equal([
      [0, 0, 'stays on its rank', 2],
      [0, 2, 'moves to this rank', 2],
      [0, 0, 'further replica, weights were there', 2],
      [1, 2, 'further replica, weights were there', 2],
      [1, 3, 'stays on its rank', 1],
      [1, -1, 'empty', 1],
    ]);
    const svg = await renderSvg(
      balanceSpec({
        ...PICTURES,
        slots,
        replicas_LE: [
          [2, 1, 1],
          [1, 1, 1],
          [1, 1, 1],
        ],
      }),
    );
    expect(svg).to.contain('1 of 5 slots hold an expert that their rank did not hold before').and.contain('>×2<');
  });

  it('weights that two replicas on one rank need come once', () => {
    const slots = { numRanks: 2, before: [[0, 1, 2, 3]], after: [[0, 1, 1, 1]] };
    expect(slotMarks(slots).map(({ kind }) => kind)).to.deep.equal([
      'stays on its rank',
      'stays on its rank',
      'further replica, new on this rank',
      'further replica, weights were there',
    ]);
  });

  it('pairs of ranks and texts have maps of their own', async () => {
    const pairs = [
      {
        title: 'Dispatched',
        unit: 'KiB',
        caption: '',
        values: [
          [0, 12],
          [34.56, 0],
        ],
      },
    ];
    const texts = ['code', 'law'].map((label, i) => ({ label, load_LE: [[1 + i, 1, 2]] }));
    const labels = labelsOf(await renderSvg(balanceSpec({ ...PICTURES, pairs, texts })));
    expect(labels).to.include('from rank: 1; to rank: 0; dispatched: 34.6 KiB');
    expect(labels).to.include('text: law; expert: 0; load / mean: 1.2; load: 2');
  });

  it('a page holds the picture and a specification that stays what it was', () => {
    const spec = balanceSpec({ ...PICTURES, title: '</script><b>' });
    const page = htmlPage('</title><b>', '<svg></svg>', spec);
    expect(page).to.contain('<svg></svg>').and.not.contain('<b>');
    const json = /<script type="application\/vnd.vegalite.v6\+json">(.*)<\/script>/.exec(page)![1]!;
    expect(JSON.parse(json)).to.deep.equal(JSON.parse(JSON.stringify(spec)));
  });
});
