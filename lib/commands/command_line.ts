/** A line of a command, parsed: its options are loaded with it. A parser serves one call: `launch` runs a command within a command. */
import yargs, { type Argv } from 'yargs';
import { VERSION } from '../config/package_files.js';
import { UsageError, type CommandContext } from './base/context.js';
import { keepLast } from './base/repeated_options.js';
import { endHelpWith, layNoHelpOut, optionsOf } from './base/yargs_internals.js';
import type { Command } from './commands.js';
import { aboveOptions, belowOptions } from './help/help_text.js';
import { COMMAND_HELPS } from './help/helps.js';
import { helpWidth } from './help/layout.js';

/** Runs the command that a line begins with. @throws UsageError for what it doesn't understand; otherwise whatever the command throws */
export async function parseLine(
  args: readonly string[],
  commands: readonly Command[],
  context: CommandContext,
): Promise<void> {
  try {
    await createParser(args, context, commands).parseAsync();
  } catch (error) {
    if (!(error instanceof Error && error.name === 'YError')) throw error;
    const { adviceOnLine } = await import('./line_advice.js');
    throw new UsageError(await adviceOnLine(error.message, args, commands));
  }
}

function register(cli: Argv, width: number, { name, describe, load }: Command, context: CommandContext): void {
  const help = COMMAND_HELPS[name.split(' ', 1)[0]!];
  cli.command(
    name,
    describe,
    async (own: Argv) => {
      endHelpWith(own, belowOptions(help ?? {}, width));
      return (await load()).options(own.usage(aboveOptions(`$0 ${name}`, describe, help?.when, width)));
    },
    async (args) => (await load()).run(args, context),
  );
}

/** What isn't a number arrives as NaN. */
function checkNumbers(args: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  const wrong = names.find((name) => Number.isNaN(args[name]));
  if (wrong !== undefined) throw new UsageError(`--${wrong} is not a number; give one`);
}

/** `--messages -` as `--messages=-`: of options that may be repeated, yargs takes a lone dash for no value. */
const withJoinedInput = (args: readonly string[]): string[] =>
  args.flatMap((arg, i) => {
    if (arg === '-' && isLongOption(args[i - 1])) return [];
    return isLongOption(arg) && args[i + 1] === '-' ? [`${arg}=-`] : [arg];
  });

const isLongOption = (arg: string | undefined): boolean => /^--[a-z][a-z-]*$/.test(arg ?? '');

function createParser(args: readonly string[], context: CommandContext, commands: readonly Command[]): Argv {
  const width = helpWidth(context.stdout);
  const cli: Argv = yargs(withJoinedInput(args))
    .scriptName('expertwire')
    .version(VERSION)
    .hide('version')
    .alias('help', 'h')
    .exitProcess(false) // help that can't be printed is told, like all output
    .strict()
    .demandCommand(1, 'give a command; see expertwire --help')
    .parserConfiguration({ 'populate--': true, 'parse-positional-numbers': false })
    .middleware((args) => {
      keepLast(args, cli);
      checkNumbers(args, optionsOf(cli).number);
    }, true)
    .wrap(width)
    .fail((message, error) => {
      // The types promise an error; yargs passes undefined for its own checks.
      throw error instanceof Error ? error : Object.assign(new Error(message), { name: 'YError' });
    });
  layNoHelpOut(cli);

  for (const command of commands) register(cli, width, command, context);
  return cli;
}
