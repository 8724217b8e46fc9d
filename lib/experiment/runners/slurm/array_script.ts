/** A job array as sbatch is given it: arguments, and a script on its standard input. Pure. */
import type { SlurmSettings } from '../../base/runner.js';

/** A run of an array. */
export interface ArrayTask {
  readonly folder: string;
  readonly timeoutMs: number;
}

/** How the tasks of an array begin. */
export interface TaskProgram {
  /** Path of Node, and arguments that begin `expertwire measure`. */
  readonly words: readonly string[];
  /** From being asked to end to being ended. */
  readonly graceMs: number;
}

/** What a task has beside its run's time: the start of Node, and a slow disk. */
const START_MS = 60_000;

/** Arguments of sbatch. `width`: tasks at a time; `after`: jobs that have to be over before. */
export function sbatchArguments(
  settings: SlurmSettings,
  name: string,
  tasks: readonly ArrayTask[],
  {
    width,
    graceMs,
    after = [],
  }: { readonly width: number; readonly graceMs: number; readonly after?: readonly string[] },
): readonly string[] {
  const longestMs = Math.max(...tasks.map(({ timeoutMs }) => timeoutMs)) + graceMs + START_MS;
  return [
    ...commonArguments(settings, name),
    `--array=0-${tasks.length - 1}%${Math.min(width, tasks.length)}`,
    `--time=${settings.time ?? Math.ceil(longestMs / 60_000)}`,
    ...dependency(after.length > 0 ? `afterany:${after.join(':')}` : settings.dependency),
    '--output=/dev/null', // each task writes into its run's folder
    ...(settings.cpus === null ? [] : [`--cpus-per-task=${settings.cpus}`]),
    ...(settings.memory === null ? [] : [`--mem=${settings.memory}`]),
    ...(settings.gres === null ? [] : [`--gres=${settings.gres}`]),
    ...(settings.constraint === null ? [] : [`--constraint=${settings.constraint}`]),
    ...settings.extra,
  ];
}

/** Arguments of the job behind all arrays, which makes the report. */
export const reportArguments = (
  settings: SlurmSettings,
  name: string,
  output: string,
  after: readonly string[],
): readonly string[] => [
  ...commonArguments(settings, name),
  ...dependency(`afterany:${after.join(':')}`),
  `--output=${output.replaceAll('%', '%%')}`,
];

const commonArguments = ({ partition, account, qos, requeue }: SlurmSettings, name: string): readonly string[] => [
  '--parsable',
  `--job-name=${name}`,
  '--nodes=1',
  '--ntasks=1',
  requeue ? '--requeue' : '--no-requeue',
  ...(partition === null ? [] : [`--partition=${partition}`]),
  ...(account === null ? [] : [`--account=${account}`]),
  ...(qos === null ? [] : [`--qos=${qos}`]),
];

const dependency = (text: string | null): readonly string[] => (text === null ? [] : [`--dependency=${text}`]);

/** A task does the run of its place. */
export function arrayScript(tasks: readonly ArrayTask[], { words, graceMs }: TaskProgram): string {
  const cases = tasks.map(({ folder, timeoutMs }, index) => `${index}) set -- ${timeoutMs} ${quoted(folder)} ;;`);
  return [
    '#!/bin/sh',
    'case "$SLURM_ARRAY_TASK_ID" in',
    ...cases,
    '*) exit 2 ;;',
    'esac',
    'exec >"$2/slurm.txt" 2>&1',
    `exec ${words.map(quoted).join(' ')} --timeout-ms "$1" --grace-ms ${graceMs} "$2"`,
    '',
  ].join('\n');
}

/** A command with its arguments. */
export const commandScript = (words: readonly string[]): string => `#!/bin/sh\nexec ${words.map(quoted).join(' ')}\n`;

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
