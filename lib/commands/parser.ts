/** The commands by their names. What one of them takes is parsed where it is called: help needs no parser. Why: docs/decisions/start.md#help-needs-no-parser */
import { VERSION } from '../config/package_files.js';
import { bench, BENCH_NAMES } from './bench.js';
import { UsageError, type CommandContext } from './base/context.js';
import { COMMANDS, loaded, type Command } from './commands.js';
import { ASK_CANDIDATES } from './completion/scripts.js';
import type { LaunchOptions } from './launch.js';

const isOption = (arg: string | undefined): boolean => arg?.startsWith('-') ?? false;
const isHelp = (arg: string | undefined): boolean => arg === 'help' || arg === '--help' || arg === '-h';

const LAUNCH = 'launch [config]';
/** Its options are each benchmark's own. */
const BENCH = { name: 'bench [NAME]', describe: `Measure: ${BENCH_NAMES.join(', ')}.` };
const COMMAND_NAMES = [...COMMANDS.map(({ name }) => name), BENCH.name, LAUNCH].map((name) => name.split(' ', 1)[0]!);

/** Runs the command that the arguments name. @throws UsageError for what no command understands; otherwise whatever the command throws */
export async function runCommand(args: readonly string[], context: CommandContext): Promise<void> {
  const [first, ...rest] = args;
  if (isHelp(first)) return helpOn(rest, context);
  if (first === '--version') {
    tell(`${VERSION}\n`, context);
    return;
  }
  if (first === ASK_CANDIDATES) {
    const { answerCandidates } = await import('./line_candidates.js');
    return answerCandidates(rest, allCommands(context), [BENCH], context);
  }
  if (first === undefined) throw new UsageError('give a command; see expertwire --help');
  if (!isOption(first) && !COMMAND_NAMES.includes(first)) {
    const { adviceOnCommand } = await import('./advice/command_advice.js');
    throw new UsageError(adviceOnCommand(first, COMMAND_NAMES));
  }
  if (first === 'bench') return bench(rest, context);
  const { parseLine } = await import('./command_line.js');
  await parseLine(args, allCommands(context), context);
}

/** `help`, and what may follow it: the words of a command. */
async function helpOn(words: readonly string[], context: CommandContext): Promise<void> {
  if (words.length > 0 && !isOption(words[0])) return runCommand([...words, '--help'], context);
  const [{ topHelp }, { helpWidth }] = await Promise.all([import('./help/top_help.js'), import('./help/layout.js')]);
  tell(topHelp([...allCommands(context), BENCH], helpWidth(context.stdout)), context);
}

const tell = (text: string, { stdout }: CommandContext): void => void stdout.write(text);

/** All commands but `bench`, whose options are each benchmark's own. `launch` is here, since it runs one of the others. */
export function allCommands(context: CommandContext): readonly Command[] {
  return [
    ...COMMANDS,
    {
      name: LAUNCH,
      describe: 'What ./launch.sh runs: a command, with head and ranks where this machine belongs in the job.',
      load: async () => {
        const [{ launchOptions, launchPlan }, { hostsOrder }] = await Promise.all([
          import('./launch.js'),
          import('./launch_hosts.js'),
        ]);
        return loaded(
          (own) => launchOptions(own),
          async (own: LaunchOptions) => {
            const args = { ...own, command: own['--'] ?? [] };
            const order = hostsOrder(args, context.env);
            if (order === null) return runCommand(launchPlan(args, context.env), context);
            const { runOnHosts } = await import('./hosts/run_on_hosts.js');
            await runOnHosts(order, context, runCommand);
          },
        );
      },
    },
  ];
}
