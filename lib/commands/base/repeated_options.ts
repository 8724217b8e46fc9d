/** Options that are given more than once. */
import type { Argv } from 'yargs';
import { optionsOf } from './yargs_internals.js';

/** Of an option that is no list but was given twice, the last one counts: `launch` adds to what a command already says. */
export function keepLast(args: Record<string, unknown>, cli: Argv): void {
  const lists = ['_', '--', ...optionsOf(cli).array];
  const spellings = new Set(
    lists.flatMap((name) => [name, name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())]),
  );
  for (const [name, value] of Object.entries(args)) {
    if (Array.isArray(value) && !spellings.has(name)) args[name] = value.at(-1) as unknown;
  }
}
