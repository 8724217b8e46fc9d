/** Command lines with an odd value in the place of a number. */

/** What nobody means by a number. */
export const ODD = [
  '1e9',
  '-1',
  '0',
  '0.5',
  'NaN',
  'Infinity',
  '1e308',
  '5e-324',
  '9007199254740993',
  '',
  'x',
  '\u001b[2J',
  '7'.repeat(5000),
];

/** A command line that works in a moment, and its options that take numbers. */
export type Line = readonly [args: readonly string[], options: readonly string[]];

/** Replaces an option's value, or adds it. */
export function withOption(args: readonly string[], name: string, value: string): string[] {
  const at = args.indexOf(`--${name}`);
  const rest = at < 0 ? args : [...args.slice(0, at), ...args.slice(at + 2)];
  return [...rest, `--${name}=${value}`];
}
