/**
 * The folder of an experiment's results while one process writes into it: `experiment.json`, `results.jsonl`, and a folder for each run.
 * Why: docs/decisions/experiments.md#a-line-is-on-the-disk-before-the-next-run-begins
 */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { causeText, printable } from '../../../base/foreign_text.js';
import { PathLock, type OtherHolder } from '../../../base/path_lock.js';
import { GrowingFile } from '../../../base/growing_file.js';
import { writeWhole } from '../../../base/whole_file.js';
import { ExperimentError } from '../base/errors.js';
import type { Experiment, ExperimentPlan } from '../base/experiment.js';
import type { PlannedRun, ResultRow } from '../base/run.js';
import { RESULT_FILES, runFolderOf } from './result_files.js';
import { lineOf, parseRows, rowsOfPlan } from './rows.js';
import { writeRun } from './run_folder.js';

/** One process's hold on the results of an experiment. */
export class ResultsFolder {
  private readonly byId: Map<string, ResultRow>;

  private constructor(
    readonly path: string,
    private readonly lock: PathLock,
    /** Aborted when somebody deletes the lock. */
    private readonly lost: AbortSignal,
    private readonly file: GrowingFile,
    rows: readonly ResultRow[],
  ) {
    this.byId = new Map(rows.map((row) => [row.id, row]));
  }

  /**
   * Makes the folder or goes on in it. `isKept`: rows that it says no to are taken out, and their runs done again.
   *
   * @throws ExperimentError FOLDER_IN_USE, OTHER_EXPERIMENT, BROKEN_RESULTS or NOT_KEPT
   */
  static async open(
    path: string,
    { experiment, runs }: ExperimentPlan,
    isKept: (row: ResultRow) => boolean = () => true,
  ): Promise<ResultsFolder> {
    const lost = new AbortController();
    const lock = await keeping(path, async () => {
      await mkdir(join(path, RESULT_FILES.runs), { recursive: true });
      return PathLock.takeInTurn(join(path, RESULT_FILES.rows), () => lost.abort());
    });
    if (!(lock instanceof PathLock)) throw inUse(path, lock);
    try {
      const { rows, others } = rowsOfPlan(await readRows(path), runs, experiment.name);
      if (others.length > 0) throw otherExperiment(path, others);
      const kept = rows.filter(isKept);
      const file = await keeping(path, () => begin(path, experiment, kept));
      return new ResultsFolder(path, lock, lost.signal, file, kept);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** In the order of the plan. */
  get rows(): readonly ResultRow[] {
    return [...this.byId.values()].sort((a, b) => a.index - b.index);
  }

  /** Whether the run has a row. */
  has({ id }: PlannedRun): boolean {
    return this.byId.has(id);
  }

  /** On the disk when it resolves. @throws ExperimentError FOLDER_IN_USE; NOT_KEPT, and then there is no half of it */
  async add(row: ResultRow): Promise<void> {
    if (this.lost.aborted) throw lockLost(this.path);
    await keeping(this.path, () => this.file.append(lineOf(row)));
    this.byId.set(row.id, row);
  }

  /** A folder with the run's `run.json`. @throws ExperimentError NOT_KEPT */
  async prepare(run: PlannedRun): Promise<string> {
    const folder = runFolderOf(this.path, run.id);
    await keeping(folder, async () => {
      await mkdir(folder, { recursive: true });
      await writeRun(folder, run);
    });
    return folder;
  }

  /** Others may have it. Idempotent. */
  async close(): Promise<void> {
    await this.file.close();
    await this.lock.release();
  }
}

/** What the folder has from now on. */
async function begin(path: string, experiment: Experiment, rows: readonly ResultRow[]): Promise<GrowingFile> {
  const file = join(path, RESULT_FILES.rows);
  await writeWhole(join(path, RESULT_FILES.experiment), `${JSON.stringify(experiment, null, 2)}\n`);
  await writeWhole(file, rows.map(lineOf).join(''));
  return GrowingFile.open(file);
}

/** What `work` gives, which writes. @throws ExperimentError NOT_KEPT for whatever it throws */
export const keeping = <T>(path: string, work: () => Promise<T>): Promise<T> =>
  work().catch((cause: unknown) => {
    throw notKept(path, causeText(cause), cause);
  });

/** What becomes of results that a disk doesn't take. */
export const notKept = (path: string, why: string, cause?: unknown): ExperimentError =>
  new ExperimentError(
    'NOT_KEPT',
    `results can't be written into ${printable(path, MAX_PATH_CHARS)} (${why}); look at permissions and the space there, then the same command goes on where this one stopped`,
    { cause },
  );

/**
 * The rows of a folder that nobody has to hold: the last one of each run, as they were written. None where there is no file.
 *
 * @throws ExperimentError BROKEN_RESULTS
 */
export async function readRows(path: string): Promise<readonly ResultRow[]> {
  const file = join(path, RESULT_FILES.rows);
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return '';
    const why = `${printable(file, MAX_PATH_CHARS)} can't be read (${causeText(cause)}); give a folder that can`;
    throw new ExperimentError('BROKEN_RESULTS', why, { cause });
  });
  return parseRows(file, text);
}

const MAX_PATH_CHARS = 500;

const inUse = (path: string, { owner: { pid, host }, path: lock }: OtherHolder): ExperimentError =>
  new ExperimentError(
    'FOLDER_IN_USE',
    `process ${pid} of ${printable(host)} writes into ${printable(path, MAX_PATH_CHARS)}; wait for it, give --output another folder, or delete ${printable(lock, MAX_PATH_CHARS)} where there is no such process`,
  );

const lockLost = (path: string): ExperimentError =>
  new ExperimentError(
    'FOLDER_IN_USE',
    `somebody deleted the lock of ${printable(path, MAX_PATH_CHARS)} while runs were done; run the same command again when nobody else writes there`,
  );

function otherExperiment(path: string, others: readonly ResultRow[]): ExperimentError {
  const [{ experiment, id, point }] = others as [ResultRow, ...ResultRow[]];
  const first = printable(`${id} of ${experiment}, ${JSON.stringify(point)}`);
  return new ExperimentError(
    'OTHER_EXPERIMENT',
    `${printable(path, MAX_PATH_CHARS)} has results of ${others.length} ${others.length === 1 ? 'run' : 'runs'} that this file doesn't have (${first}); give --output another folder, or take back what was changed in the file`,
  );
}
