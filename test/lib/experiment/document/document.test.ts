import { expect } from 'chai';
import fc from 'fast-check';
import type { Block, Document } from '../../../../lib/experiment/document/document.js';
import { html } from '../../../../lib/experiment/document/html.js';
import { markdown } from '../../../../lib/experiment/document/markdown.js';

const COLUMNS = [
  { title: 'wire', unit: '', isFigure: false },
  { title: 'speed', unit: 'tokens/s', isFigure: true },
];
const TABLE: Block = {
  kind: 'table',
  caption: 'Means.',
  columns: COLUMNS,
  rows: [
    ['bf16 | f32', { text: '2 ▲', tone: 'better' }],
    ['int8', '10'],
  ],
};
const FIGURE: Block = { kind: 'figure', name: 'speed', title: 'Speed', caption: 'By ranks.', isWide: false, spec: {} };
const PARTS = { pictureOf: () => '<svg></svg>', head: '', tail: '' };

const md = (...blocks: Block[]): string => markdown({ title: 'a', blocks }, (name) => `plots/${name}.svg`);
const page = (...blocks: Block[]): string => html({ title: 'a', blocks }, PARTS);

describe('a report as a document', () => {
  it('in Markdown tables are aligned, their bars escaped, and what stands out is bold', () => {
    expect(md(TABLE)).to.equal(
      [
        '# a',
        '',
        '| wire        | speed (tokens/s) |',
        '| ----------- | ---------------: |',
        '| bf16 \\| f32 |          **2 ▲** |',
        '| int8        |               10 |',
        '',
        '*Table 1. Means.*\n',
      ].join('\n'),
    );
  });

  it('tables and figures are numbered each for themselves, folded ones too', () => {
    const more: Block = { kind: 'more', title: 'More', blocks: [TABLE, FIGURE] };
    for (const text of [md(TABLE, FIGURE, more), page(TABLE, FIGURE, more)]) {
      const found = [...text.matchAll(/(Table|Figure) \d/g)].map(([number]) => number);
      expect(found).to.deep.equal(['Table 1', 'Figure 1', 'Table 2', 'Figure 2']);
    }
  });

  it('Markdown names the file of a figure', () => {
    expect(md(FIGURE)).to.include('![Speed](plots/speed.svg)\n\n*Figure 1. Speed.*');
  });

  it('signs that Markdown or HTML would obey are text', () => {
    const text = 'a * b <script> [x](http://y) `<b>` _c_ tokens_per_s & "d"';
    expect(md({ kind: 'text', text })).to.include(
      'a \\* b \\<script> [x\\](http://y) `<b>` \\_c\\_ tokens_per_s & "d"',
    );
    expect(page({ kind: 'text', text })).to.include(
      '<p>a * b &lt;script&gt; [x](http://y) <code>&lt;b&gt;</code> _c_ tokens_per_s &amp; &quot;d&quot;</p>',
    );
  });

  it('code that holds a fence stays in its own', () => {
    expect(md({ kind: 'code', language: 'yaml', text: 'a: |\n  ```\n' })).to.include('````yaml\na: |\n  ```\n````');
  });

  it('paragraphs are broken into lines that a diff shows', () => {
    const lines = md({ kind: 'text', text: 'word '.repeat(200) }).split('\n');
    expect(Math.max(...lines.map(({ length }) => length))).to.be.below(161);
  });

  it('no text leaves its place in the page', () => {
    const count = (text: string): number => [...text.matchAll(/<[a-z/!]/g)].length;
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'<>&"`\'a |/\\'.split('')) }), (text) => {
        const of = (each: string): Document => ({
          title: each,
          blocks: [
            { kind: 'heading', text: each },
            { ...TABLE, caption: each, rows: [[each, each]] },
          ],
        });
        const plain = text.replaceAll(/[<>&"'/\\]/g, 'x');
        expect(count(html(of(text), PARTS))).to.equal(count(html(of(plain), PARTS)));
      }),
    );
  });

  it('the page loads nothing', () => {
    expect(page(TABLE, FIGURE)).not.to.match(/src=|href="(?!#)|url\(|@import/);
  });
});
