import { expect } from 'chai';
import { renderPng, renderSvg } from '../../../lib/pictures/render.js';
import { COLUMN_WIDTH, themed, titled } from '../../../lib/pictures/theme.js';
import { textWidth, wrapped } from '../../../lib/pictures/text_width.js';

describe('pictures without a browser', () => {
  const spec = themed({
    width: COLUMN_WIDTH,
    autosize: { type: 'fit', contains: 'padding' },
    title: titled('a picture', 'of two bars', COLUMN_WIDTH),
    data: { values: ['a', 'b'].map((name, i) => ({ name, size: i + 1 })) },
    mark: 'bar',
    encoding: { x: { field: 'name', type: 'nominal' }, y: { field: 'size', type: 'quantitative' } },
  });

  it('a picture is as wide as a column, and a PNG of it has 300 pixels to the inch', async () => {
    const svg = await renderSvg(spec);
    expect(svg).to.match(new RegExp(`^<svg [^>]*width="${COLUMN_WIDTH}"`));
    const png = Buffer.from(await renderPng(svg));
    expect(png.subarray(1, 4).toString()).to.equal('PNG');
    expect(png.readUInt32BE(16)).to.equal(Math.floor((COLUMN_WIDTH * 300) / 96));
  });

  it('a PNG shows its text with the font that comes along', async () => {
    const picture = (text: string): Promise<Uint8Array> =>
      renderPng(`<svg xmlns="http://www.w3.org/2000/svg" width="80" height="20"><text y="15">${text}</text></svg>`);
    const [empty, word] = await Promise.all(['', 'load'].map(picture));
    expect(word).not.to.deep.equal(empty);
  });

  it('a text is as wide as its letters, and broken between words', () => {
    expect(textWidth('il', 1000)).to.equal(444);
    expect(textWidth('MoE', 10)).to.be.closeTo(20.56, 1e-9);
    expect(textWidth('MoE', 10, true)).to.be.above(textWidth('MoE', 10));
    expect(wrapped('one two three', textWidth('one two', 9), 9)).to.deep.equal(['one two', 'three']);
    expect(wrapped('incomprehensibilities of', 5, 9)).to.deep.equal(['incomprehensibilities', 'of']);
  });
});
