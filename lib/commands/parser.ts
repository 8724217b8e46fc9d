/** The commands and their options; each command is loaded when it is called. A parser serves one call: `launch` runs a command within a command. */
import yargs, { type Argv } from 'yargs';
import { VERSION } from '../config/package_files.js';
import { bench, BENCH_NAMES } from './bench.js';
import { UsageError, type CommandContext } from './base/context.js';
import { keepLast } from './base/repeated_options.js';
import { layNoHelpOut, optionsOf } from './base/yargs_internals.js';
import { COMMANDS, loaded, type Command } from './commands.js';
import type { LaunchOptions } from './launch.js';

function register(cli: Argv, context: CommandContext, { name, describe, load }: Command): void {
  cli.command(
    name,
    describe,
    async (own: Argv) => (await load()).options(own.usage(`$0 ${name}\n\n${describe}`)),
    async (args) => (await load()).run(args, context),
  );
}

const isOption = (arg: string | undefined): boolean => arg?.startsWith('-') ?? false;

const LAUNCH = 'launch [config]';
/** What help lists; `help` itself is the parser's. */
const COMMAND_NAMES = [...COMMANDS.map(({ name }) => name), 'bench', LAUNCH].map((name) => name.split(' ', 1)[0]!);

/** What isn't a number arrives as NaN. */
function checkNumbers(args: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  const wrong = names.find((name) => Number.isNaN(args[name]));
  if (wrong !== undefined) throw new UsageError(`--${wrong} is not a number; give one`);
}

/** Runs the command that the arguments name. @throws UsageError for what no command understands; otherwise whatever the command throws */
export async function runCommand(args: readonly string[], context: CommandContext): Promise<void> {
  const [first] = args;
  if (first !== undefined && !isOption(first) && first !== 'help' && !COMMAND_NAMES.includes(first)) {
    const { adviceOnCommand } = await import('./advice/command_advice.js');
    throw new UsageError(adviceOnCommand(first, COMMAND_NAMES));
  }
  const commands = commandsOf(context);
  try {
    await createParser(args, context, commands).parseAsync();
  } catch (error) {
    if (!(error instanceof Error && error.name === 'YError')) throw error;
    const { adviceOnLine } = await import('./line_advice.js');
    throw new UsageError(await adviceOnLine(error.message, args, commands));
  }
}

/** `--messages -` as `--messages=-`: of options that may be repeated, yargs takes a lone dash for no value. */
const withJoinedInput = (args: readonly string[]): string[] =>
  args.flatMap((arg, i) => {
    if (arg === '-' && isLongOption(args[i - 1])) return [];
    return isLongOption(arg) && args[i + 1] === '-' ? [`${arg}=-`] : [arg];
  });

const isLongOption = (arg: string | undefined): boolean => /^--[a-z][a-z-]*$/.test(arg ?? '');

function createParser(args: readonly string[], context: CommandContext, commands: readonly Command[]): Argv {
  const cli: Argv = yargs(withJoinedInput(args))
    .scriptName('expertwire')
    .usage('$0 COMMAND\n\nMixture-of-Experts language models on expert-parallel ranks.')
    .version(VERSION)
    .alias('help', 'h')
    .exitProcess(false) // help that can't be printed is told, like all output
    .strict()
    .demandCommand(1, 'give a command; see expertwire --help')
    .parserConfiguration({ 'populate--': true })
    .middleware((args) => {
      keepLast(args, cli);
      checkNumbers(args, optionsOf(cli).number);
    }, true)
    .wrap(Math.min(120, context.stdout.columns ?? 100))
    .fail((message, error) => {
      // The types promise an error; yargs passes undefined for its own checks.
      throw error instanceof Error ? error : Object.assign(new Error(message), { name: 'YError' });
    });
  layNoHelpOut(cli);

  for (const command of commands) register(cli, context, command);
  cli.command(
    'bench [NAME]',
    `Measure: ${BENCH_NAMES.join(', ')}.`,
    // A benchmark has options of its own, which it explains itself.
    (own: Argv) => own.strict(false).help(isOption(args[1])),
    () => bench(args.slice(1), context),
  );

  return cli;
}

/** All but `bench`, whose options are each benchmark's own. `launch` is here, since it runs one of the others. */
function commandsOf(context: CommandContext): readonly Command[] {
  return [
    ...COMMANDS,
    {
      name: LAUNCH,
      describe: 'What ./launch.sh runs: a command, with head and ranks where this machine belongs in the job.',
      load: async () => {
        const { launchOptions, launchPlan } = await import('./launch.js');
        return loaded(
          (own) => launchOptions(own),
          async (own: LaunchOptions) => {
            const plan = launchPlan({ ...own, command: own['--'] ?? [] }, context.env);
            await runCommand(plan, context);
          },
        );
      },
    },
  ];
}
