/** `expertwire native install`: the native TensorFlow backend, from what the two package registries have. */
import type { Argv } from 'yargs';
import { nativeDir } from '../../experts/native_folder.js';
import { installNative, removeNative } from '../native/install.js';
import { UsageError, type CommandContext } from './context.js';
import { ProgressBar } from './progress_bar.js';

export interface NativeArgs {
  readonly action: 'install';
  readonly from?: string | undefined;
  readonly remove?: boolean | undefined;
}

export function nativeOptions<T>(yargs: Argv<T>): Argv<T & NativeArgs> {
  return yargs
    .positional('action', { choices: ['install'] as const, demandOption: true, describe: 'what to do' })
    .option('from', {
      type: 'string',
      describe: "a folder with TensorFlow's library and headers, instead of the wheel of Python's package index",
    })
    .option('remove', { type: 'boolean', describe: 'remove what was installed' });
}

/** Into the user's cache, or `dir`. */
export async function native(args: NativeArgs, context: CommandContext, dir = nativeDir()): Promise<void> {
  const { stdout } = context;
  if (args.remove === true) {
    if (args.from !== undefined) throw new UsageError('--remove and --from exclude each other; give one of them');
    const wasInstalled = await removeNative(dir);
    stdout.write(wasInstalled ? `${dir} is removed\n` : `nothing was installed in ${dir}\n`);
    return;
  }
  const { tensorflow } = await install(args.from, context, dir);
  stdout.write(`TensorFlow ${tensorflow} is installed in ${dir}: backend: tensorflow runs\n`);
}

async function install(
  from: string | undefined,
  { stderr, signal }: CommandContext,
  dir: string,
): ReturnType<typeof installNative> {
  let bar: ProgressBar | null = null;
  const onStep = (step: string): void => {
    bar?.close();
    stderr.write(`${step} …\n`);
    bar = null;
  };
  const onProgress = (fraction: number): void => (bar ??= new ProgressBar(stderr, 'unpacking')).update(fraction);
  try {
    return await installNative(dir, { from, signal, onStep, onProgress });
  } finally {
    (bar as ProgressBar | null)?.close();
  }
}
