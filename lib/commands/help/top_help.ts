/** What `expertwire --help` prints: without a parser, whose loading would take most of the time. Why: docs/decisions/start.md#help-needs-no-parser */
import { entryLines, wrapped, type Entry } from './layout.js';

/** A command as it is listed. */
export interface ListedCommand {
  /** With its values: 'make-checkpoint <dir>'. */
  readonly name: string;
  readonly describe: string;
}

/** Headings, and under each the commands as they are listed; commands that none has come last. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  'Run a model': ['generate', 'chat', 'score'],
  'Serve a model': ['serve', 'cluster', 'route', 'scale', 'kv'],
  'Model folders': ['pull', 'inspect', 'make-checkpoint', 'quantise', 'prune'],
  'Measure and compare': ['compare', 'experiment', 'report', 'measure', 'plan', 'bench'],
  Jobs: ['jobs', 'worker'],
  'Ranks and machines': ['rank', 'launch', 'manifest', 'doctor', 'native', 'completion'],
};

const OPTIONS: readonly Entry[] = [
  ['-h, --help', 'this; behind a command: what it does, its options, and examples'],
  ['--version', 'the version of expertwire'],
];

/** Lines for a terminal of `width` columns. */
export function topHelp(commands: readonly ListedCommand[], width: number): string {
  const nameWidth = Math.max(...[...commands.map(({ name }) => name), ...OPTIONS.map(([name]) => name)].map(length));
  const section = (heading: string, entries: readonly Entry[]): string[] =>
    entries.length === 0 ? [] : ['', `${heading}:`, ...entryLines(entries, nameWidth, width)];
  return [
    'expertwire COMMAND',
    '',
    ...wrapped('Mixture-of-Experts language models on expert-parallel ranks.', width),
    ...grouped(commands).flatMap(([heading, entries]) => section(heading, entries)),
    ...section('Options', OPTIONS),
    '',
    ...wrapped('Exit status: 0, or 1 for a failure, 2 for a line or file that asks for what cannot be done.', width),
    ...wrapped('expertwire help COMMAND tells more of one; expertwire help bench NAME of a benchmark.', width),
    '',
  ].join('\n');
}

const length = (name: string): number => name.length;
const wordOf = ({ name }: ListedCommand): string => name.split(' ', 1)[0]!;

function grouped(commands: readonly ListedCommand[]): (readonly [string, Entry[]])[] {
  const named = new Set(Object.values(GROUPS).flat());
  const others = commands.map(wordOf).filter((word) => !named.has(word));
  return Object.entries({ ...GROUPS, More: others }).map(([heading, words]) => [
    heading,
    words.flatMap((word) =>
      commands.filter((command) => wordOf(command) === word).map(({ name, describe }): Entry => [name, describe]),
    ),
  ]);
}
