import { expect } from 'chai';
import { hostname } from 'node:os';
import { appendFile, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ExperimentError } from '../../../../lib/experiment/base/errors.js';
import type { ResultRow } from '../../../../lib/experiment/base/run.js';
import { readRows, ResultsFolder } from '../../../../lib/experiment/runs/results_folder.js';
import { rowOf } from '../../../../lib/experiment/runs/rows.js';
import { failed, ok } from '../../../kit/experiment/played_runner.js';
import { planOf, runOf } from '../../../kit/experiment/plans.js';
import { ENVIRONMENT } from '../../../kit/experiment/runs.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const plan = planOf([1, 2, 3]);
const times = { startedAt: new Date(0), durationMs: 5 };
const rowFor = (value: number, end = ok(value)): ResultRow =>
  rowOf(
    plan.experiment,
    plan.runs.find(({ point }) => point.value === value)!,
    end,
    times,
    ENVIRONMENT,
  );

/** In a folder that has rows of two runs, the second of which failed. */
const withResults = (use: (path: string) => Promise<void>): Promise<void> =>
  withTempFolder(async (dir) => {
    const path = join(dir, 'deep', 'results');
    const results = await ResultsFolder.open(path, plan);
    await results.add(rowFor(2, failed('MEASURE_FAILED')));
    await results.add(rowFor(1));
    await results.close();
    await use(path);
  });

const idsOf = (rows: readonly ResultRow[]): readonly unknown[] => rows.map(({ point }) => point.value);

describe('the folder of results', () => {
  it('has what the file said and the rows, and in a later life they count in the order of the plan', () =>
    withResults(async (path) => {
      expect(JSON.parse(await readFile(join(path, 'experiment.json'), 'utf8'))).to.deep.equal(plan.experiment);
      expect(idsOf(await readRows(path))).to.deep.equal([2, 1]);
      const later = await ResultsFolder.open(path, plan);
      expect(later.rows).to.deep.equal([rowFor(1), rowFor(2, failed('MEASURE_FAILED'))]);
      expect(plan.runs.map((run) => later.has(run))).to.deep.equal([true, true, false]);
      await later.close();
      await later.close();
      expect(await readdir(path)).to.have.members(['experiment.json', 'results.jsonl', 'runs']);
    }));

  it('takes out rows that are not kept', () =>
    withResults(async (path) => {
      const later = await ResultsFolder.open(path, plan, ({ status }) => status === 'ok');
      expect(idsOf(later.rows)).to.deep.equal([1]);
      await later.close();
      expect(idsOf(await readRows(path))).to.deep.equal([1]);
    }));

  it('stays with a file that grew, and is refused to one that lost a run', () =>
    withResults(async (path) => {
      const grown = await ResultsFolder.open(path, planOf([0, 2, 1, 3], 'renamed'));
      expect(grown.rows.map(({ index, experiment, point }) => [index, experiment, point.value])).to.deep.equal([
        [1, 'renamed', 2],
        [2, 'renamed', 1],
      ]);
      await grown.close();
      const before = await readFile(join(path, 'results.jsonl'), 'utf8');
      const error = await errorOf(ExperimentError, () => ResultsFolder.open(path, planOf([1, 3])));
      expect(error.message).to.match(
        /^OTHER_EXPERIMENT: .* has results of 1 run that this file doesn't have \([0-9a-f]{16} of renamed, \{"value":2\}\); give --output/,
      );
      expect(await readFile(join(path, 'results.jsonl'), 'utf8')).to.equal(before);
      expect(await readdir(path), 'a lock').to.have.members(['experiment.json', 'results.jsonl', 'runs']);
    }));

  it('goes on after a line that was cut off, and is refused where another one can’t be read', () =>
    withResults(async (path) => {
      const file = join(path, 'results.jsonl');
      await appendFile(file, '{"id": "0123');
      const later = await ResultsFolder.open(path, plan);
      await later.add(rowFor(3));
      await later.close();
      expect(idsOf(await readRows(path))).to.have.members([1, 2, 3]); // each on a line of its own
      await writeFile(file, `half a line\n${await readFile(file, 'utf8')}`);
      const error = await errorOf(ExperimentError, () => ResultsFolder.open(path, plan));
      expect(error.message).to.match(/^BROKEN_RESULTS: line 1 of /);
    }));

  it('is one process’s, until it lets go or is no more', () =>
    withResults(async (path) => {
      const results = await ResultsFolder.open(path, plan);
      const error = await errorOf(ExperimentError, () => ResultsFolder.open(path, plan));
      expect(error.message).to.match(new RegExp(`^FOLDER_IN_USE: process ${process.pid} of .* writes into`));
      await results.add(rowFor(3));
      await results.close();
      // A lock of a process that died, whose number another one has now.
      await writeFile(join(path, `results.jsonl.1-1-${hostname()}.lock`), '');
      await (await ResultsFolder.open(path, plan)).close();
      expect(await readdir(path)).to.have.members(['experiment.json', 'results.jsonl', 'runs']);
    }));

  it('prepares a run', () =>
    withResults(async (path) => {
      const results = await ResultsFolder.open(path, plan);
      const folder = await results.prepare(plan.runs[0]!);
      expect(JSON.parse(await readFile(join(folder, 'run.json'), 'utf8'))).to.deep.equal(plan.runs[0]);
      await results.close();
    }));

  it('says what can’t be written, and what then', () =>
    withTempFolder(async (dir) => {
      await writeFile(join(dir, 'file'), '');
      const error = await errorOf(ExperimentError, () => ResultsFolder.open(join(dir, 'file', 'results'), plan));
      expect(error.message).to.match(
        /^NOT_KEPT: .*can't be written into .*ENOTDIR.*; look at permissions and the space/,
      );
      const results = await ResultsFolder.open(join(dir, 'results'), plan);
      await rm(join(dir, 'results', 'runs'), { recursive: true });
      await writeFile(join(dir, 'results', 'runs'), '');
      expect((await errorOf(ExperimentError, () => results.prepare(runOf(1)))).code).to.equal('NOT_KEPT');
      await results.close();
    }));
});
