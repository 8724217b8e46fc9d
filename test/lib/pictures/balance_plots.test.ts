import { expect } from 'chai';
import { balanceSpec, type BalancePictures } from '../../../lib/pictures/balance/balance_plots.js';
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
    { step: 1, numSteps: 2, meanLoad: 3, maxLoad: 6 },
    { step: 3, numSteps: 2, meanLoad: 6, maxLoad: 6 },
    { step: 5, numSteps: 2, meanLoad: 0, maxLoad: 0 },
  ],
  rebalances: [3, 5],
};

/** What marks say of themselves to screen readers: field by field. */
const labelsOf = (svg: string): string[] => [...svg.matchAll(/aria-label="([^"]*)"/g)].map((match) => match[1]!);

describe('balance as pictures', () => {
  it('every cell of the heat maps, every point and every rebalance is there with its value', async () => {
    const svg = await renderSvg(balanceSpec(PICTURES));
    const labels = labelsOf(svg);
    const cells = (column: string, load_LC: readonly ArrayLike<number>[]): string[] =>
      load_LC.flatMap((load_C, layer) => {
        const mean = Array.from(load_C).reduce((a, b) => a + b, 0) / load_C.length;
        const relative = (load: number): string => String(Number((mean === 0 ? 0 : load / mean).toFixed(10)));
        return Array.from(load_C, (load, i) => `${column}: ${i}; layer: ${layer}; load / mean: ${relative(load)}`);
      });
    const isCell = (label: string): boolean => /; layer: \d+;/.test(label);
    expect(labels.filter(isCell)).to.deep.equal([
      ...cells('expert', PICTURES.load_LE),
      ...PICTURES.ranks.flatMap(({ load_LR }) => cells('rank', load_LR)),
    ]);
    for (const [step, value] of [
      [1, '0.5'],
      [3, '1'],
      [5, '1'],
    ] as const) {
      expect(labels).to.include(`step: ${step}; balancedness: ${value}`);
    }
    expect(labels).to.include('step: 3').and.include('step: 5').and.not.include('step: 1');
    for (const text of [
      'rank load before: balancedness 0.750',
      'rank load after: balancedness 1.000',
      '2 rebalances',
    ]) {
      expect(svg).to.contain(text);
    }
    expect(svg).to.contain('a run of &lt;m&gt; &amp; "co"');
  });

  it('without a time series there is no such picture, without rebalances no marks', async () => {
    const still = await renderSvg(balanceSpec({ ...PICTURES, balanceOverTime: [], rebalances: [] }));
    expect(still).not.to.contain('over time');
    const calm = await renderSvg(balanceSpec({ ...PICTURES, rebalances: [] }));
    expect(calm).to.contain('0 rebalances');
    expect(labelsOf(calm)).not.to.include('step: 3');
  });

  it('a page holds the picture and a specification that stays what it was', () => {
    const spec = balanceSpec({ ...PICTURES, title: '</script><b>' });
    const page = htmlPage('</title><b>', '<svg></svg>', spec);
    expect(page).to.contain('<svg></svg>').and.not.contain('<b>');
    const json = /<script type="application\/vnd.vegalite.v6\+json">(.*)<\/script>/.exec(page)![1]!;
    expect(JSON.parse(json)).to.deep.equal(JSON.parse(JSON.stringify(spec)));
  });
});
