import { expect } from 'chai';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KernelTrial } from '../../../lib/kernels/kernel_trial.js';
import { knownTrial } from '../../../lib/kernels/known_trial.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const GOOD: KernelTrial = { lacks256: null, lacksFma: null, tileRows: { 'plain 128': 2 }, gain: 1.9 };
const LACKING: KernelTrial = { ...GOOD, lacks256: { kind: 'lacking', why: 'this Node has none' }, gain: 1 };
const FAILED: KernelTrial = { ...GOOD, lacks256: { kind: 'failed', why: 'its trial did not end in 1 ms' } };

/** How often a trial ran in as many calls. */
async function numRuns(file: string | null, trial: KernelTrial, numCalls = 2): Promise<number> {
  let count = 0;
  const runTrial = (): Promise<KernelTrial> => {
    count++;
    return Promise.resolve(trial);
  };
  for (let i = 0; i < numCalls; i++) expect(await knownTrial({ file, runTrial })).to.deep.equal(trial);
  return count;
}

describe('the outcome of trials', () => {
  it('is kept for the next time, in a folder that need not exist', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'a', 'b', 'kernels.json');
      expect(await numRuns(file, GOOD)).to.equal(1);
      expect(await numRuns(file, GOOD)).to.equal(0);
      expect(await readdir(join(dir, 'a', 'b'))).to.deep.equal(['kernels.json']);
    }));

  it('is not kept where something failed, or helped too little to be sure: it may not be so again', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'kernels.json');
      for (const trial of [FAILED, { ...LACKING, gain: 1.2 }]) {
        expect(await numRuns(file, trial)).to.equal(2);
        expect(await readdir(dir)).to.deep.equal([]);
      }
      expect(await numRuns(file, LACKING)).to.equal(1);
    }));

  it('is of no use on another machine, and where the file is damaged', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'kernels.json');
      await numRuns(file, GOOD);
      const text = await readFile(file, 'utf8');
      for (const other of [text.replace(/"key":"./, '"key":"x'), text.slice(1), '{}', text.replace('1.9', '"1.9"')]) {
        await writeFile(file, other);
        expect(await numRuns(file, GOOD), other).to.equal(1);
      }
    }));

  it('is found anew each time where it can not be kept', () =>
    withTempFolder(async (dir) => {
      expect(await numRuns(null, GOOD)).to.equal(2);
      await writeFile(join(dir, 'file'), '');
      expect(await numRuns(join(dir, 'file', 'kernels.json'), GOOD)).to.equal(2);
      const closed = join(dir, 'closed');
      await mkdir(closed);
      await chmod(closed, 0o500);
      expect(await numRuns(join(closed, 'kernels.json'), GOOD)).to.be.oneOf([1, 2]); // for root it can be kept
    }));
});
