import { expect } from 'chai';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
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

  it('of a plot that is no more go, and what else lies there stays', async () => {
    await withTempFolder(async (folder) => {
      mkdirSync(join(folder, 'plots'));
      for (const name of ['old.svg', 'old.vl.json', 'notes.txt']) writeFileSync(join(folder, 'plots', name), '');
      await writeReport(folder, resultsOf({ ...SAMPLE, plots: [] }, sampleRows().slice(0, 1)));
      const found = readdirSync(join(folder, 'plots'));
      expect(found).to.include('notes.txt');
      expect(found.filter((name) => name.startsWith('old'))).to.deep.equal([]);
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
