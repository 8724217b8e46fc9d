/** `expertwire pull`: a model by its name, from a hub into the cache of the hub's own tools. */
import type { Argv } from 'yargs';
import { printable } from '../../base/foreign_text.js';
import { modelNameText, parseModelName, type ModelName } from '../hub/cache/model_name.js';
import type { RemoteFile } from '../hub/hub_repository.js';
import { pullModel, type PulledModel } from '../hub/pull.js';
import { bytes, table } from '../metrics/charts.js';
import { modelSpecOf } from '../model/families/registry.js';
import { ModelError } from '../model/spec/errors.js';
import { withQuantConfig } from '../model/spec/quantization.js';
import { WeightError } from '../weights/errors.js';
import { readModelFiles } from '../weights/model_files.js';
import { UsageError, type CommandContext } from './base/context.js';
import { ProgressBar } from './base/progress_bar.js';

/** The options of `pull` as yargs parses them. */
export interface PullArgs {
  readonly name: string;
  readonly revision?: string | undefined;
  readonly include?: readonly string[] | undefined;
  readonly dryRun?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/** Adds the name and the options of `pull` to a command line. */
export function pullOptions<T>(yargs: Argv<T>): Argv<T & PullArgs> {
  return yargs
    .positional('name', { type: 'string', demandOption: true, describe: 'ORG/NAME, or ORG/NAME@REVISION' })
    .option('revision', { type: 'string', describe: 'branch, tag or commit (main)' })
    .option('include', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: "only files like this, such as '*.json', instead of what the engine needs; repeatable",
    })
    .option('dry-run', { type: 'boolean', describe: 'list what is needed, and fetch no more than the list takes' })
    .option('json', { type: 'boolean', describe: 'one JSON object' })
    .epilogue(
      'Variables: HF_TOKEN (or the file that `hf auth login` writes), HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, HF_HUB_DISABLE_XET. ' +
        'What was interrupted goes on where it stopped.',
    );
}

/** Prints the model's folder. @throws UsageError; HubError */
export async function pull(args: PullArgs, context: CommandContext): Promise<void> {
  const { stdout, stderr, env, signal } = context;
  const { include, dryRun: isDryRun = false, json } = args;
  const name = nameOf(args);
  const text = modelNameText(name);
  const progress = new PullProgress(context, text);
  const pulled = await pullModel({
    ...{ name, include, isDryRun, env, signal },
    onProgress: (doneBytes, totalBytes) => progress.update(doneBytes, totalBytes),
    onFile: (file) => progress.fileIsThere(file),
    onWaiting: ({ path }, { pid, host }) =>
      progress.line(`process ${pid} of ${host} is fetching ${printable(path)} already: waiting for it`),
    beforeWeights: async (folder) => {
      const why = await whyNotRun(folder);
      if (why !== null) progress.line(`note: expertwire can't run this model: ${why}`);
    },
  }).finally(() => {
    progress.close();
    if (signal.aborted) stderr.write(`what has come stays; the same command goes on there\n`);
  });
  if (json === true) stdout.write(`${JSON.stringify(figuresOf(name, pulled))}\n`);
  else stdout.write(isDryRun ? listOf(pulled.files) : `${pulled.folder}\n`);
  if (!isDryRun) stderr.write(`${progress.summary(pulled)}; expertwire generate --model ${text}\n`);
}

function nameOf({ name: text, revision }: PullArgs): ModelName {
  const name = parseModelName(text);
  if (name === null)
    throw new UsageError(`'${printable(text)}' is no model's name; give ORG/NAME, such as Qwen/Qwen3-30B-A3B`);
  if (revision === undefined) return name;
  const named = parseModelName(`${name.repo}@${revision}`);
  if (named === null || text.includes('@'))
    throw new UsageError(`--revision ${printable(revision)} of ${printable(text)}; give one branch, tag or commit`);
  return named;
}

/** Hundreds of gigabytes may follow: better to know now. Null where it can be run. */
async function whyNotRun(folder: string): Promise<string | null> {
  try {
    const { config, quantConfig } = await readModelFiles(folder);
    modelSpecOf(withQuantConfig(config, quantConfig), {});
    return null;
  } catch (error) {
    if (error instanceof ModelError || error instanceof WeightError) return error.message;
    throw error;
  }
}

const sizeOf = (files: readonly RemoteFile[]): number => files.reduce((sum, { size }) => sum + size, 0);

const figuresOf = ({ repo, revision }: ModelName, { folder, commit, files, fetchedBytes }: PulledModel): object => ({
  ...{ model: repo, revision, commit, folder, bytes: sizeOf(files), fetched_bytes: fetchedBytes },
  files: files.map(({ path, size }) => ({ path, bytes: size })),
});

const listOf = (files: readonly RemoteFile[]): string =>
  `${table([...files.map(({ path, size }) => [printable(path), bytes(size)]), ['all', bytes(sizeOf(files))]])}\n`;

/** A bar with the speed on a terminal; elsewhere a line for each large file. */
class PullProgress {
  private readonly bar: ProgressBar;
  private readonly startMs = performance.now();
  private firstBytes: number | null = null;

  constructor(
    private readonly context: Pick<CommandContext, 'stderr'>,
    private readonly name: string,
  ) {
    this.bar = new ProgressBar(context.stderr, `pulling ${name}`);
  }

  update(doneBytes: number, totalBytes: number): void {
    this.firstBytes ??= doneBytes;
    const perS = (1000 * Math.max(0, doneBytes - this.firstBytes)) / (performance.now() - this.startMs);
    this.bar.update(doneBytes / Math.max(1, totalBytes), ` of ${bytes(totalBytes)}, ${bytes(Math.round(perS))}/s`);
  }

  fileIsThere({ path, size, hash }: RemoteFile): void {
    const { stderr } = this.context;
    if (stderr.isTTY !== true && hash.kind === 'sha256') stderr.write(`${printable(path)}: ${bytes(size)}\n`);
  }

  line(text: string): void {
    this.context.stderr.write(this.context.stderr.isTTY === true ? `\r\x1b[2K${text}\n` : `${text}\n`);
  }

  summary({ commit, files, fetchedBytes }: PulledModel): string {
    const seconds = (performance.now() - this.startMs) / 1000;
    const came =
      fetchedBytes === 0 ? 'all of which was there' : `of which ${bytes(fetchedBytes)} came in ${seconds.toFixed(1)} s`;
    return `${this.name} at ${commit.slice(0, 7)}: ${files.length} files, ${bytes(sizeOf(files))}, ${came}`;
  }

  close(): void {
    this.bar.close();
  }
}
