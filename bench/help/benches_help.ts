/** What `expertwire bench --help` prints. Pure. */
import { entryLines, wrapped, type Entry } from '../../lib/commands/help/layout.js';
import { BENCH_HELPS } from './bench_helps.js';

/** The benchmarks of these names, for a terminal of `width` columns. */
export function benchesHelp(names: readonly string[], width: number): string {
  const entries = names.map((name): Entry => [name, BENCH_HELPS[name]?.title ?? '']);
  const about =
    'Every benchmark prints the machine, the seed and how each figure is computed, and measures its baseline in the same run, in turns: quote ratios, not absolute times. --json gives all figures to a program.';
  return [
    'expertwire bench NAME [options]',
    '',
    ...wrapped(about, width),
    '',
    'Benchmarks:',
    ...entryLines(entries, Math.max(...names.map((name) => name.length)), width),
    '',
    ...wrapped(
      'expertwire bench NAME --help lists its options, with examples. What they measured: docs/benchmarks.md.',
      width,
    ),
    '',
  ].join('\n');
}
