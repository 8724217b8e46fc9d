import { expect } from 'chai';
import { withOwnIds } from '../../../../lib/experiment/document/own_ids.js';
import { plotFigures } from '../../../../lib/experiment/report/plots.js';
import { resultsOf } from '../../../../lib/experiment/report/results.js';
import { SAMPLE, sampleRows } from '../../../kit/experiment/sample_results.js';

const figuresWith = (plots: typeof SAMPLE.plots): ReturnType<typeof plotFigures> =>
  plotFigures(resultsOf({ ...SAMPLE, plots }, sampleRows()));

describe('pictures of a report', () => {
  it('are those of the file, under names that no two share', () => {
    const [plot] = SAMPLE.plots;
    const titles = ['Speed, by ranks', 'Speed: by ranks?', '∞'];
    const figures = figuresWith(titles.map((title) => ({ ...plot!, title })));
    expect(figures.map(({ name }) => name)).to.deep.equal(['speed-by-ranks', 'speed-by-ranks-2', 'plot']);
    expect(figures.map(({ title }) => title)).to.deep.equal(titles);
  });

  it('say below what they say above, and are wide with facets', () => {
    const [plain, faceted] = figuresWith([SAMPLE.plots[0]!, { ...SAMPLE.plots[0]!, facet: 'seed' }]);
    expect(plain!.caption).to.match(/95 % confidence interval.* Higher is better\.$/);
    expect([plain!.isWide, faceted!.isWide]).to.deep.equal([false, true]);
  });

  it('are, where the file asks for none, the first metrics over the first numbers', () => {
    const names = figuresWith([]).map(({ name }) => name);
    expect(names).to.deep.equal([
      'tokens-per-s-by-experts-num-redundant-experts',
      'bytes-per-token-by-experts-num-redundant-experts',
    ]);
    expect(plotFigures(resultsOf({ ...SAMPLE, plots: [], axes: [] }, sampleRows()))).to.deep.equal([]);
  });

  it('don’t share ids in one page', () => {
    const svg = '<g id="a"/><rect fill="url(#a)" clip-path="url(\'#b\')"/><use xlink:href="#a"/><a href="http://x"/>';
    expect(withOwnIds(svg, 'p')).to.equal(
      '<g id="p-a"/><rect fill="url(#p-a)" clip-path="url(#p-b)"/><use xlink:href="#p-a"/><a href="http://x"/>',
    );
  });
});
