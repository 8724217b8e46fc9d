import { expect } from 'chai';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OutputError } from '../../../../lib/commands/base/output_file.js';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { report } from '../../../../lib/commands/experiment/report.js';
import { ExperimentError } from '../../../../lib/experiment/base/errors.js';
import { SAMPLE, sampleRows } from '../../../kit/experiment/sample_results.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const write = async (folder: string, rows = sampleRows()): Promise<void> => {
  await writeFile(join(folder, 'experiment.json'), JSON.stringify(SAMPLE));
  await writeFile(join(folder, 'results.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
};

describe('the command report', () => {
  it('writes the report of a folder and says where', () =>
    withTempFolder(async (folder) => {
      await write(folder);
      const context = commandContext();
      await report({ folder, formats: 'svg' }, context);
      expect(context.printed()).to.equal(
        `${join(folder, 'report.html')}: 9 points, 54 runs, 1 failed\n` +
          'also report.md, results.csv, summary.csv and 4 files of pictures in plots/\n',
      );
      expect(await readFile(join(folder, 'report.md'), 'utf8')).to.include('(plots/balance-by-redundancy.svg)');
    }));

  it('makes PNGs where they are asked for, and Markdown refers to the first format', () =>
    withTempFolder(async (folder) => {
      await write(folder);
      await report({ folder, formats: 'png' }, commandContext());
      const png = await readFile(join(folder, 'plots/balance-by-redundancy.png'));
      expect([...png.subarray(1, 4)]).to.deep.equal([...Buffer.from('PNG')]);
      expect(await readFile(join(folder, 'report.md'), 'utf8')).to.include('(plots/balance-by-redundancy.png)');
    }));

  it('does so for results that are still being written: what is there so far', () =>
    withTempFolder(async (folder) => {
      await write(folder, sampleRows().slice(0, 5));
      const context = commandContext();
      await report({ folder, formats: 'svg' }, context);
      expect(context.printed()).to.include('5 points, 5 runs\n');
    }));

  it('says what is wrong with a folder, and what to do', () =>
    withTempFolder(async (folder) => {
      const failure = (): Promise<ExperimentError> =>
        errorOf(ExperimentError, () => report({ folder, formats: 'svg' }, commandContext()));
      const noFile = await failure();
      expect(noFile.code).to.equal('NO_RESULTS');
      expect(noFile.message).to.match(/no experiment\.json; give the folder/);
      await write(folder, []);
      expect(await failure()).to.have.property('code', 'NO_RESULTS');
      await writeFile(join(folder, 'experiment.json'), '{"name": 1}');
      expect(await failure()).to.have.property('code', 'BROKEN_RESULTS');
    }));

  it('refuses formats that there aren’t, and names a folder that can’t be written', () =>
    withTempFolder(async (folder) => {
      const wrong = await errorOf(UsageError, () => report({ folder, formats: 'svg,jpeg' }, commandContext()));
      expect(wrong.message).to.equal("--formats: there is no 'jpeg'; give svg, png or both with a comma");
      await write(folder);
      await writeFile(join(folder, 'plots'), '');
      const error = await errorOf(OutputError, () => report({ folder, formats: 'svg' }, commandContext()));
      expect(error.message).to.match(/^the report in .* can't be written/);
    }));
});
