/** Text for a terminal, laid out by its width. Pure; for texts of our own, in which every character takes one column. */

/** Words in lines of at most `width` columns, each behind `indent` blanks; a longer word stands alone. */
export function wrapped(text: string, width: number, indent = 0): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((each) => each !== '')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && indent + longer.length > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line].map((each) => `${' '.repeat(indent)}${each}`);
}

/** A row of a list: what is written, and what it is. */
export type Entry = readonly [name: string, text: string];

/** Names in a column of `nameWidth`, and beside each what it is, in as many lines as that takes. */
export function entryLines(entries: readonly Entry[], nameWidth: number, width: number): string[] {
  const indent = nameWidth + 4;
  return entries.flatMap(([name, text]) => {
    const [first = '', ...more] = wrapped(text, width, indent);
    return [`  ${name.padEnd(nameWidth)}  ${first.slice(indent)}`, ...more];
  });
}

/** Columns for help on a terminal, or where it is piped: lines of more are hard to read. */
export const helpWidth = ({ columns }: { readonly columns?: number | null | undefined }): number =>
  Math.min(120, columns ?? 100);
