import { expect } from 'chai';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { resultsOf } from '../../../../lib/experiment/report/results.js';
import { writeReport } from '../../../../lib/experiment/report/write_report.js';
import { SAMPLE, sampleRows } from '../../../kit/experiment/sample_results.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

describe('the files of a report', () => {
  it('are reports and tables, and nothing half written', async () => {
    await withTempFolder(async (folder) => {
      const names = await writeReport(folder, resultsOf(SAMPLE, sampleRows()));
      const found = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('.'));
      expect(found.sort()).to.deep.equal([...names].sort());
      expect(names).to.include.members([
        ...['report.html', 'report.md', 'results.csv', 'summary.csv'],
        ...['plots/balance-by-redundancy.svg', 'plots/balance-by-redundancy.vl.json'],
      ]);
      expect(readFileSync(join(folder, 'report.html'), 'utf8')).to.match(/^<!doctype html>[\s\S]*<\/html>\n$/);
    });
  });

  it('are the same when they are written again', async () => {
    await withTempFolder(async (folder) => {
      const results = resultsOf(SAMPLE, sampleRows());
      const names = await writeReport(folder, results);
      const first = names.map((name) => readFileSync(join(folder, name), 'utf8'));
      await writeReport(folder, results);
      expect(names.map((name) => readFileSync(join(folder, name), 'utf8'))).to.deep.equal(first);
    });
  });
});
