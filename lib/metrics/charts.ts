/** Small charts of characters, for terminals and logs. Pure. */

const LEVELS = '▁▂▃▄▅▆▇█';

/** One character per value, from ▁ (0) to █ (`highest`, default the largest value). */
export function sparkline(values: ArrayLike<number>, highest = Math.max(...Array.from(values), 0)): string {
  return Array.from(values, (value) => {
    const level = highest === 0 ? 0 : Math.min(LEVELS.length - 1, Math.floor((value / highest) * LEVELS.length));
    return LEVELS[level]!;
  }).join('');
}

/** A horizontal bar of up to `width` characters, in eighths of a character. */
export function bar(value: number, highest: number, width: number): string {
  const eighths = highest === 0 ? 0 : Math.round((value / highest) * width * 8);
  const rest = ' ▏▎▍▌▋▊▉'[eighths % 8]!;
  return '█'.repeat(Math.floor(eighths / 8)) + (eighths % 8 === 0 ? '' : rest);
}

/** 1536 → '1.5 KiB'. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = 0;
  // What rounds to 1024.0 takes the next unit too.
  while (Number(value.toFixed(1)) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]!}`;
}

/** Characters, of which each of ours is as wide as a letter. */
const widthOf = (text: string): number => Array.from(text).length;

/** Columns of text, left-aligned first, right-aligned after. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => widthOf(row[column]!))));
  const pad = (text: string, column: number): string => {
    const fill = ' '.repeat(widths[column]! - widthOf(text));
    return column === 0 ? text + fill : fill + text;
  };
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}
