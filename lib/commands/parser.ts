/** The commands and their options. A parser serves one call: `launch` runs a command within a command. */
import yargs, { type Argv } from 'yargs';
import { VERSION } from '../config/package_files.js';
import { bench } from './bench.js';
import { UsageError, type CommandContext } from './base/context.js';
import { doctor, doctorOptions } from './doctor.js';
import { generate, generateOptions } from './generate/generate.js';
import { launchOptions, launchPlan, type LaunchOptions } from './launch.js';
import { makeCheckpoint, makeCheckpointOptions } from './make_checkpoint.js';
import { native, nativeOptions, type NativeArgs } from './native.js';
import { plan, planOptions } from './plan/plan.js';
import { rank, rankOptions } from './rank.js';
import { score, scoreOptions } from './score/score.js';
import { serveOptions, type ServeArgs } from './serve/serve_options.js';
import { adviceOn } from './base/usage_advice.js';

/** Which options a command has, and what it does. */
interface Command<T> {
  readonly name: string;
  readonly describe: string;
  readonly options: (yargs: Argv) => Argv<T>;
  readonly run: (args: T, context: CommandContext) => Promise<void>;
}

function register<T>(cli: Argv, context: CommandContext, { name, describe, options, run }: Command<T>): void {
  cli.command(
    name,
    describe,
    (own: Argv) => options(own.usage(`$0 ${name}\n\n${describe}`)),
    (args) => run(args as T, context),
  );
}

const isOption = (arg: string | undefined): boolean => arg?.startsWith('-') ?? false;

/** What yargs knows of the command that is being parsed; its types leave this out. */
interface KnownOptions {
  readonly key: object;
  readonly array: readonly string[];
  readonly number: readonly string[];
}

const optionsOf = (cli: Argv): KnownOptions => (cli as unknown as { getOptions(): KnownOptions }).getOptions();

const knownOptions = (cli: Argv): string[] => Object.keys(optionsOf(cli).key);

const listOptions = (cli: Argv): readonly string[] => ['_', '--', ...optionsOf(cli).array];

/** Of an option that is no list but was given twice, the last one counts: `launch` adds to what a command already says. */
function keepLast(args: Record<string, unknown>, lists: readonly string[]): void {
  const spellings = new Set(
    lists.flatMap((name) => [name, name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())]),
  );
  for (const [name, value] of Object.entries(args)) {
    if (Array.isArray(value) && !spellings.has(name)) args[name] = value.at(-1) as unknown;
  }
}

/** What isn't a number arrives as NaN. */
function checkNumbers(args: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  const wrong = names.find((name) => Number.isNaN(args[name]));
  if (wrong !== undefined) throw new UsageError(`--${wrong} is not a number; give one`);
}

/** @throws UsageError for what no command understands; otherwise whatever the command throws */
export function createParser(args: readonly string[], context: CommandContext): Argv {
  const cli: Argv = yargs([...args])
    .scriptName('expertwire')
    .usage('$0 COMMAND\n\nMixture-of-Experts language models on expert-parallel ranks.')
    .version(VERSION)
    .exitProcess(false) // help that can't be printed is told, like all output
    .strict()
    .recommendCommands()
    .demandCommand(1, 'give a command; see expertwire --help')
    .parserConfiguration({ 'populate--': true })
    .middleware((args) => {
      keepLast(args, listOptions(cli));
      checkNumbers(args, optionsOf(cli).number);
    }, true)
    .wrap(Math.min(120, context.stdout.columns ?? 100))
    .fail((message, error) => {
      // The types promise an error; yargs passes undefined, or one of its own, for its own checks.
      if (error instanceof Error && error.name !== 'YError') throw error;
      throw new UsageError(adviceOn(message, knownOptions(cli), args));
    });

  register(cli, context, {
    name: 'generate',
    describe: 'Continue prompts, streamed, and show what the experts did.',
    options: generateOptions,
    run: generate,
  });
  register(cli, context, {
    name: 'score',
    describe: 'Log-probabilities, perplexity and routed experts of a text.',
    options: scoreOptions,
    run: score,
  });
  register(cli, context, {
    name: 'serve',
    describe: "Serve OpenAI's endpoints over HTTP.",
    options: (own) => serveOptions(own),
    run: async (args: ServeArgs, own) => {
      const { serve } = await import('./serve/serve.js'); // the web framework takes its time to load
      await serve(args, own);
    },
  });
  register(cli, context, {
    name: 'plan',
    describe: 'From the load of experts to a placement, with the balance before and after.',
    options: planOptions,
    run: plan,
  });
  register(cli, context, {
    name: 'make-checkpoint <dir>',
    describe: 'Write a random checkpoint of any family and shape, for experiments.',
    options: makeCheckpointOptions,
    run: makeCheckpoint,
  });
  register(cli, context, {
    name: 'rank',
    describe: 'Be one rank of a job whose head runs elsewhere.',
    options: rankOptions,
    run: rank,
  });
  register(cli, context, {
    name: 'doctor',
    describe: 'What this machine has: backends, cores, memory, versions.',
    options: doctorOptions,
    run: doctor,
  });
  register(cli, context, {
    name: 'native <action>',
    describe:
      'install: the native TensorFlow backend (linux x64, arm64; needs npm, pip and g++; 0.8 GB, --gpu 5.6 GB).',
    options: nativeOptions,
    run: (args: NativeArgs, own) => native(args, own),
  });
  cli.command(
    'bench [NAME]',
    'Measure: balance, codec, compute, dispatch, engine, eplb, generate, scenarios, serve.',
    // A benchmark has options of its own, which it explains itself.
    (own: Argv) => own.strict(false).help(isOption(args[1])),
    () => bench(args.slice(1), context),
  );

  register(cli, context, {
    name: 'launch [config]',
    describe: 'What ./launch.sh runs: a command, with head and ranks where this machine belongs in the job.',
    options: (own) => launchOptions(own),
    run: async (own: LaunchOptions) => {
      await createParser(launchPlan({ ...own, command: own['--'] ?? [] }, context.env), context).parseAsync();
    },
  });
  return cli;
}
