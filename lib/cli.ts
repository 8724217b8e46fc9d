#!/usr/bin/env node
/** The command line. The only file that touches the process: arguments, environment, signals, exit code. */
import { setMaxListeners } from 'node:events';
import yargs, { type Argv } from 'yargs';
import { hideBin } from 'yargs/helpers';
import { UsageError, type CommandContext } from './commands/context.js';
import { doctor, doctorOptions } from './commands/doctor.js';
import { generate, generateOptions } from './commands/generate.js';
import { launchOptions, launchPlan, type LaunchOptions } from './commands/launch.js';
import { rank, rankOptions } from './commands/rank.js';
import { score, scoreOptions } from './commands/score.js';
import { adviceOn } from './commands/usage_advice.js';
import { ConfigError } from './config/errors.js';
import { EngineError } from './engine/errors.js';
import { TokenizerError } from './tokenizer/errors.js';
import { VERSION } from './version.js';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

const interrupted = new AbortController();
setMaxListeners(0, interrupted.signal); // every request of a batch listens
const context: CommandContext = {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  signal: interrupted.signal,
  env: process.env,
};

/** Which options a command has, and what it does. */
interface Command<T> {
  readonly name: string;
  readonly describe: string;
  readonly options: (yargs: Argv) => Argv<T>;
  readonly run: (args: T, context: CommandContext) => Promise<void>;
}

function register<T>(cli: Argv, { name, describe, options, run }: Command<T>): void {
  cli.command(
    name,
    describe,
    (own: Argv) => options(own.usage(`$0 ${name}\n\n${describe}`)),
    async (args) => {
      try {
        await run(args as T, context);
      } catch (error) {
        fail(error);
      }
    },
  );
}

function fail(error: unknown): void {
  if (interrupted.signal.aborted) return; // Ctrl-C ends what runs; that is no failure to report.
  process.stderr.write(`expertwire: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = isUsageError(error) ? EXIT_USAGE : EXIT_FAILURE;
}

/** Mistakes that another call, configuration or prompt mends. */
function isUsageError(error: unknown): boolean {
  if (error instanceof UsageError || error instanceof ConfigError) return true;
  return (error instanceof EngineError || error instanceof TokenizerError) && USAGE_CODES.has(error.code);
}

const USAGE_CODES: ReadonlySet<string> = new Set([
  'INVALID_REQUEST',
  'CONTEXT_LENGTH_EXCEEDED',
  'NO_TOKENIZER',
  'NO_CHAT_TEMPLATE',
  'NOT_ENCODABLE',
]);

/** The first signal lets the command end its ranks; a second one ends this process at once. */
function onSignal(signal: NodeJS.Signals): void {
  if (interrupted.signal.aborted) process.exit(EXIT_INTERRUPTED);
  process.exitCode = EXIT_INTERRUPTED;
  interrupted.abort(new Error(`interrupted by ${signal}`));
}

/** A rank that another process started leaves signals to its parent. */
const isSpawned = process.argv.includes('--spawned');
if (isSpawned) process.on('SIGINT', () => undefined);
else for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);

// A reader that goes away (`| head`) ends the job like Ctrl-C.
process.stdout.on('error', () => onSignal('SIGTERM'));

const isOption = (arg: string | undefined): boolean => arg?.startsWith('-') ?? false;

/** What yargs knows of the command that is being parsed; its types leave this out. */
const optionsOf = (cli: Argv): { readonly key: object; readonly array: readonly string[] } =>
  (cli as unknown as { getOptions(): { key: object; array: string[] } }).getOptions();

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

/** A parser of its own for each call: `launch` runs a command within a command. */
function createCli(): Argv {
  const cli: Argv = yargs()
    .scriptName('expertwire')
    .usage('$0 COMMAND\n\nMixture-of-Experts language models on expert-parallel ranks.')
    .version(VERSION)
    .strict()
    .recommendCommands()
    .demandCommand(1, 'give a command; see expertwire --help')
    .parserConfiguration({ 'populate--': true })
    .middleware((args) => keepLast(args, listOptions(cli)), true)
    .wrap(Math.min(120, process.stdout.isTTY ? process.stdout.columns : 100))
    .fail((message, error) => {
      if (error instanceof Error) throw error; // the types promise an error, yargs passes undefined for its own checks
      process.stderr.write(`expertwire: ${adviceOn(message, knownOptions(cli))}\n`);
      process.exit(EXIT_USAGE);
    });

  register(cli, {
    name: 'generate',
    describe: 'Continue prompts, streamed, and show what the experts did.',
    options: generateOptions,
    run: generate,
  });
  register(cli, {
    name: 'score',
    describe: 'Log-probabilities, perplexity and routed experts of a text.',
    options: scoreOptions,
    run: score,
  });
  register(cli, {
    name: 'rank',
    describe: 'Be one rank of a job whose head runs elsewhere.',
    options: rankOptions,
    run: rank,
  });
  register(cli, {
    name: 'doctor',
    describe: 'What this machine has: backends, cores, memory, versions.',
    options: doctorOptions,
    run: doctor,
  });
  cli.command(
    'bench [NAME]',
    'Measure: generate.',
    // A benchmark has options of its own, which it explains itself.
    (own: Argv) => own.strict(false).help(isOption(hideBin(process.argv)[1])),
    async () => {
      const { runBench } = await import('../bench/index.js');
      await runBench(hideBin(process.argv).slice(1), context).catch(fail);
    },
  );

  register(cli, {
    name: 'launch [config]',
    describe: 'What ./launch.sh runs: a command, with head and ranks where this machine belongs in the job.',
    options: (own) => launchOptions(own),
    run: async (args: LaunchOptions) => {
      await createCli().parseAsync(launchPlan({ ...args, command: args['--'] ?? [] }, context.env));
    },
  });
  return cli;
}

await createCli().parseAsync(hideBin(process.argv));
