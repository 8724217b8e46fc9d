/** A report as Markdown in GitHub's dialect. Pure. */
import { cellText, codeParts, type Block, type Cell, type Document, type TableBlock } from './document.js';

/** Where a line of a paragraph is broken. */
const MAX_LINE_CHARS = 160;

/** `pathOf`: of a figure's picture, as the document's folder sees it. */
export function markdown({ title, blocks }: Document, pathOf: (name: string) => string): string {
  const numbers = { table: 0, figure: 0 };
  return `${[`# ${inline(title)}`, ...blocks.map((block) => blockText(block, pathOf, numbers))].join('\n\n')}\n`;
}

interface Numbers {
  table: number;
  figure: number;
}

function blockText(block: Block, pathOf: (name: string) => string, numbers: Numbers): string {
  switch (block.kind) {
    case 'heading':
      return `## ${inline(block.text)}`;
    case 'text':
      return wrapped(inline(block.text));
    case 'list':
      return block.items.map((item) => wrapped(`- ${inline(item)}`, '  ')).join('\n');
    case 'warning':
      return block.items.map((item) => wrapped(`> **Note.** ${inline(item)}`, '> ')).join('\n>\n');
    case 'terms':
      return block.items.map(([term, text]) => wrapped(`- **${inline(term)}**: ${inline(text)}`, '  ')).join('\n');
    case 'code':
      return fenced(block.language, block.text);
    case 'table':
      return `${tableText(block)}\n\n${wrapped(`*Table ${++numbers.table}. ${inline(block.caption)}*`)}`;
    case 'figure': // says the rest itself
      return `![${inline(block.title)}](${pathOf(block.name)})\n\n${wrapped(`*Figure ${++numbers.figure}. ${inline(block.title)}.*`)}`;
    case 'more':
      return [`## ${inline(block.title)}`, ...block.blocks.map((each) => blockText(each, pathOf, numbers))].join(
        '\n\n',
      );
  }
}

function tableText({ columns, rows }: TableBlock): string {
  const heads = columns.map(({ title, unit }) => inCell(unit === '' ? title : `${title} (${unit})`));
  const rules = columns.map(({ isFigure }) => (isFigure ? '--:' : '---'));
  const cells = rows.map((row) => row.map(toned));
  const widths = heads.map((head, i) => Math.max(head.length, 3, ...cells.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => aligned(cell, widths[i]!, columns[i]!.isFigure)).join(' | ')} |`;
  const rule = `| ${rules.map((each, i) => (each.endsWith(':') ? `${'-'.repeat(widths[i]! - 1)}:` : '-'.repeat(widths[i]!))).join(' | ')} |`;
  return [line(heads), rule, ...cells.map(line)].join('\n');
}

const aligned = (text: string, width: number, isRight: boolean): string =>
  isRight ? text.padStart(width) : text.padEnd(width);

function toned(cell: Cell): string {
  const text = inCell(cellText(cell));
  const isStrong = typeof cell !== 'string' && cell.tone !== 'quiet' && text !== '';
  return isStrong ? `**${text}**` : text;
}

const inCell = (text: string): string => inline(text.replaceAll(/\s*\n\s*/g, ' ')).replaceAll('|', '\\|');

/** What Markdown would read something into is escaped; `code` stays. */
const inline = (text: string): string =>
  codeParts(text)
    .map(({ isCode, text: part }) =>
      isCode
        ? `\`${part}\``
        : part.replaceAll(/[\\*`]|<(?=[a-z/!?])|\](?=[([:])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])/gi, '\\$&'),
    )
    .join('');

/** No fence of the text ends it. */
function fenced(language: string, text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text.trimEnd()}\n${fence}`;
}

/** Lines of words; further ones begin with `indent`. */
function wrapped(text: string, indent = ''): string {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < MAX_LINE_CHARS) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(last === undefined ? word : indent + word);
  }
  return lines.join('\n');
}
