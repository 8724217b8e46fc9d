import { expect } from 'chai';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { measure, type Measuring } from '../../../../lib/commands/experiment/measure.js';
import { ExperimentError } from '../../../../lib/experiment/base/errors.js';
import { readError, readResult } from '../../../../lib/experiment/runs/run_folder.js';
import { plannedRun, RESULT, runFolder } from '../../../kit/experiment/runs.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const giving =
  (runMeasure: Measuring['runMeasure']): (() => Promise<Measuring>) =>
  () =>
    Promise.resolve({ runMeasure });

describe('the command measure', () => {
  it('does what run.json says, leaves the result and prints it', () =>
    withTempFolder(async (dir) => {
      const run = plannedRun({ seed: 3, measure: { kind: 'played', top: 2 } });
      const folder = await runFolder(dir, run);
      const context = commandContext();
      const seen: unknown[] = [];
      await measure(
        { folder },
        context,
        giving(async (given, { folder: files, onNotice }) => {
          seen.push(given);
          await writeFile(join(files, 'x'), ''); // a folder that is there
          onNotice('half of it');
          return RESULT;
        }),
      );
      expect(seen).to.deep.equal([run]);
      expect(await readResult(folder)).to.deep.include(RESULT);
      expect(await readdir(folder)).to.have.members(['run.json', 'result.json']);
      expect(context.printed()).to.match(/tokens +7\n/);
      expect(context.told()).to.equal('half of it\n');
    }));

  it('leaves why it failed, and nothing of an earlier result', () =>
    withTempFolder(async (dir) => {
      const folder = await runFolder(dir, plannedRun());
      await measure(
        { folder },
        commandContext(),
        giving(() => Promise.resolve(RESULT)),
      );
      const failing = giving(() => Promise.reject(new ExperimentError('MEASURE_FAILED', 'no reference; give one')));
      const error = await errorOf(ExperimentError, () => measure({ folder }, commandContext(), failing));
      expect(error.code).to.equal('MEASURE_FAILED');
      expect(await readError(folder)).to.deep.equal({ code: 'MEASURE_FAILED', message: 'no reference; give one' });
      expect(await readdir(folder)).to.have.members(['run.json', 'error.json']);
    }));

  it('leaves neither where it was interrupted', () =>
    withTempFolder(async (dir) => {
      const folder = await runFolder(dir, plannedRun());
      const stopping = new AbortController();
      const stopped = giving(() => {
        stopping.abort(new Error('enough'));
        return Promise.resolve(RESULT);
      });
      await errorOf(Error, () => measure({ folder }, commandContext(stopping.signal), stopped));
      expect(await readdir(folder)).to.deep.equal(['run.json']);
    }));

  it('refuses what is no run', () =>
    withTempFolder(async (dir) => {
      const none = await errorOf(ExperimentError, () => measure({ folder: join(dir, 'none') }, commandContext()));
      expect(none.message).to.match(/^BROKEN_RESULTS: .*none\/run\.json.* can't be read.*; give a folder/);
      await writeFile(join(dir, 'run.json'), '{"id": "x"}');
      const other = await errorOf(ExperimentError, () => measure({ folder: dir }, commandContext()));
      expect(other.message).to.match(/run\.json.* is no run of an experiment; let/);
    }));
});
