/** A report as one HTML file that needs nothing else. Pure. */
import { escaped } from '../../pictures/html.js';
import {
  cellText,
  codeParts,
  type Block,
  type Cell,
  type Document,
  type FigureBlock,
  type TableBlock,
} from './document.js';
import { STYLE } from './html_style.js';

/** What the caller adds to a page. */
export interface PageParts {
  /** Of a figure, by name: an SVG, or whatever is drawn instead. */
  readonly pictureOf: (figure: FigureBlock) => string;
  /** Elements for the end of the head: scripts and styles of pictures. */
  readonly head: string;
  /** And for the end of the body. */
  readonly tail: string;
}

/** Of a whole page. */
export function html({ title, blocks }: Document, { pictureOf, head, tail }: PageParts): string {
  const numbers = { table: 0, figure: 0 };
  const body = blocksHtml(blocks, pictureOf, numbers);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
${head}</head>
<body>
<main>
<h1>${inline(title)}</h1>
${navigation(blocks)}
${body}
</main>
${tail}</body>
</html>
`;
}

interface Numbers {
  table: number;
  figure: number;
}

const inline = (text: string): string =>
  codeParts(text)
    .map(({ isCode, text: part }) => (isCode ? `<code>${escaped(part)}</code>` : escaped(part)))
    .join('');

const anchorOf = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');

function navigation(blocks: readonly Block[]): string {
  const heads = blocks.flatMap((block) =>
    block.kind === 'heading' ? [block.text] : block.kind === 'more' ? [block.title] : [],
  );
  return `<nav aria-label="Contents">${heads.map((text) => `<a href="#${anchorOf(text)}">${inline(text)}</a>`).join(' ')}</nav>`;
}

/** Figures that follow each other stand side by side where there is room. */
function blocksHtml(blocks: readonly Block[], pictureOf: PageParts['pictureOf'], numbers: Numbers): string {
  const isFigure = (block: Block | undefined): boolean => block?.kind === 'figure';
  return blocks
    .map((block, i) => {
      const begin = isFigure(block) && !isFigure(blocks[i - 1]) ? '<div class="figures">' : '';
      const end = isFigure(block) && !isFigure(blocks[i + 1]) ? '</div>' : '';
      return begin + blockHtml(block, pictureOf, numbers) + end;
    })
    .join('\n');
}

function blockHtml(block: Block, pictureOf: PageParts['pictureOf'], numbers: Numbers): string {
  switch (block.kind) {
    case 'heading':
      return `<h2 id="${anchorOf(block.text)}">${inline(block.text)}</h2>`;
    case 'text':
      return `<p>${inline(block.text)}</p>`;
    case 'list':
      return `<ul>${block.items.map((item) => `<li>${inline(item)}</li>`).join('')}</ul>`;
    case 'warning':
      return `<aside>${block.items.map((item) => `<p>${inline(item)}</p>`).join('')}</aside>`;
    case 'terms':
      return `<dl>${block.items.map(([term, text]) => `<dt>${inline(term)}</dt><dd>${inline(text)}</dd>`).join('')}</dl>`;
    case 'code':
      return `<pre tabindex="0"><code>${escaped(block.text.trimEnd())}</code></pre>`;
    case 'table':
      return tableHtml(block, ++numbers.table);
    case 'figure': {
      const { name, title, caption, isWide } = block;
      const told = `<figcaption><b>Figure ${++numbers.figure}. ${inline(title)}.</b> ${inline(caption)}</figcaption>`;
      return `<figure id="figure-${anchorOf(name)}"${isWide ? ' class="wide"' : ''}>${pictureOf(block)}${told}</figure>`;
    }
    case 'more': {
      const inner = blocksHtml(block.blocks, pictureOf, numbers);
      const { title } = block;
      return `<details id="${anchorOf(title)}"><summary><h2>${inline(title)}</h2></summary>\n${inner}\n</details>`;
    }
  }
}

function tableHtml({ caption, columns, rows }: TableBlock, number: number): string {
  const side = columns.map(({ isFigure }) => (isFigure ? ' class="figure"' : ''));
  const heads = columns.map(
    ({ title, unit }, i) =>
      `<th scope="col"${side[i]!}>${inline(title)}${unit === '' ? '' : `<small>${escaped(unit)}</small>`}</th>`,
  );
  const lines = rows.map((row) => `<tr>${row.map((cell, i) => cellHtml(cell, i, side[i]!)).join('')}</tr>`);
  return `<p class="caption" id="table-${number}"><b>Table ${number}.</b> ${inline(caption)}</p>
<div class="table" tabindex="0"><table aria-describedby="table-${number}">
<thead><tr>${heads.join('')}</tr></thead>
<tbody>
${lines.join('\n')}
</tbody>
</table></div>`;
}

/** The first cell of a row is its head. */
function cellHtml(cell: Cell, column: number, side: string): string {
  const text = inline(cellText(cell));
  const toned = typeof cell === 'string' ? text : `<span class="${cell.tone}">${text}</span>`;
  return column === 0 ? `<th scope="row"${side}>${toned}</th>` : `<td${side}>${toned}</td>`;
}
