/** A command line that the parser refused, in our words: this loads the options of all commands, to know which have one that this one lacks. */
import yargs from 'yargs';
import { optionNames } from './base/yargs_internals.js';
import type { Command } from './commands.js';
import type { KnownCommand } from './advice/option_advice.js';
import { adviceOn } from './advice/usage_advice.js';

/** @param message the parser's; `args`: what was given */
export async function adviceOnLine(
  message: string,
  args: readonly string[],
  commands: readonly Command[],
): Promise<string> {
  const known = await Promise.all(commands.map(knownOf));
  const name = args.find((arg) => known.some((each) => each.name === arg));
  const own = known.find((each) => each.name === name) ?? { name: '', options: optionNames(yargs()) };
  const others = new Map(known.flatMap((each) => (each === own ? [] : [[each.name, each.options]])));
  return adviceOn({ message, args, own, others });
}

async function knownOf({ name, load }: Command): Promise<KnownCommand> {
  const [word, ...positionals] = name.split(' ');
  const parser = (await load()).options(yargs());
  return { name: word!, options: optionNames(parser), positionals: positionals.join(' ') };
}
