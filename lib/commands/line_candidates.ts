/** What a shell is told that may come next in a line: this loads the options of the command that is typed. */
import yargs from 'yargs';
import { keyPaths } from '../config/layers.js';
import { keyInfoOf } from '../config/schema.js';
import type { CommandContext } from './base/context.js';
import { ASK_OPTIONS, toldOptions, type OptionsAsked } from './base/yargs_internals.js';
import { bench, BENCH_NAMES } from './bench.js';
import type { Command } from './commands.js';
import { candidates, type Candidate, type KnownCommands, type KnownLine } from './completion/candidates.js';

/** Prints what may come next in a line, a candidate a line: its word, a tab, and what it is. `listed`: what else is a command. */
export async function answerCandidates(
  words: readonly string[],
  commands: readonly Command[],
  listed: readonly Pick<Command, 'name' | 'describe'>[],
  context: CommandContext,
): Promise<void> {
  const found = await candidates(words, {
    commands: [...commands, ...listed, HELP].map(({ name, describe }) => ({ word: wordOf(name), describe })),
    benchmarks: BENCH_NAMES.map((word) => ({ word, describe: '' })),
    command: (name) => commandLine(commands.find((command) => wordOf(command.name) === name)),
    benchmark: (name) => benchmarkLine(name, context),
    keys: keyValues,
  });
  context.stdout.write(found.map(lineOf).join(''));
}

const HELP = { name: 'help', describe: 'Tell more of a command.' };
const wordOf = (name: string): string => name.split(' ', 1)[0]!;
const lineOf = ({ word, describe }: Candidate): string => `${word}\t${describe.replaceAll(/\s+/g, ' ')}\n`;

async function commandLine(command: Command | undefined): Promise<KnownLine | null> {
  if (command === undefined) return null;
  const cli = (await command.load()).options(yargs());
  return { positionals: command.name.split(' ').slice(1), options: toldOptions(cli) };
}

/** It throws what it knows. The benchmarks aren't part of the bundle: an error of theirs is known by its name. */
async function benchmarkLine(name: string, context: CommandContext): Promise<KnownLine | null> {
  try {
    await bench([name, ASK_OPTIONS], context);
  } catch (error) {
    if (error instanceof Error && error.name === 'OptionsAsked')
      return { positionals: [], options: (error as Error & Pick<OptionsAsked, 'options'>).options };
  }
  return null;
}

/** Values are those that messages name, where a key takes few. */
function keyValues(): ReturnType<KnownCommands['keys']> {
  return new Map(
    keyPaths().map((path) => {
      const allowed = keyInfoOf(path)?.allowed ?? '';
      return [path.join('.'), allowed.split(/, | or /).filter((word) => /^[a-z\d_]+$/.test(word))];
    }),
  );
}
