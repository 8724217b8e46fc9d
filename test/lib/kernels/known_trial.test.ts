import { expect } from 'chai';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KernelTrial } from '../../../lib/kernels/kernel_trial.js';
import { knownTrial, type KnownTrialOptions } from '../../../lib/kernels/known_trial.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const GOOD: KernelTrial = { lacks256: null, lacksFma: null, tileRows: { 'plain 128': 2 }, gain: 1.9 };
const LACKING: KernelTrial = { ...GOOD, lacks256: { kind: 'lacking', why: 'this Node has none' }, gain: 1 };
const FAILED: KernelTrial = { ...GOOD, lacks256: { kind: 'failed', why: 'its trial did not end in 1 ms' } };

/** How often a trial ran in as many calls. */
async function numRuns(
  file: string | null,
  trial: KernelTrial,
  {
    numCalls = 2,
    ...more
  }: Pick<KnownTrialOptions, 'nowMs' | 'isAnew' | 'signal' | 'v8State'> & { readonly numCalls?: number } = {},
): Promise<number> {
  let count = 0;
  const runTrial = (): Promise<KernelTrial> => {
    count++;
    return Promise.resolve(trial);
  };
  for (let i = 0; i < numCalls; i++) expect(await knownTrial({ file, runTrial, ...more })).to.deep.equal(trial);
  return count;
}

describe('the outcome of trials', () => {
  it('is kept for the next time', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'kernels.json');
      expect(await numRuns(file, GOOD)).to.equal(1);
      expect(await numRuns(file, GOOD)).to.equal(0);
      expect(await readdir(dir)).to.deep.equal(['kernels.json']);
    }));

  it('is believed for a day where something failed, or helped too little to be sure: it may not be so again', () =>
    withTempFolder(async (dir) => {
      const day = 24 * 3_600_000;
      for (const [i, trial] of [FAILED, { ...LACKING, gain: 1.2 }].entries()) {
        const file = join(dir, `kernels${i}.json`);
        expect(await numRuns(file, trial, { nowMs: day })).to.equal(1);
        expect(await numRuns(file, trial, { nowMs: 2 * day - 1 })).to.equal(0);
        expect(await numRuns(file, trial, { nowMs: 2 * day })).to.equal(1);
        expect(await numRuns(file, trial, { nowMs: day })).to.equal(1); // of a clock that was set back
      }
      const sure = join(dir, 'sure.json');
      expect(await numRuns(sure, LACKING, { nowMs: 0 })).to.equal(1);
      expect(await numRuns(sure, LACKING, { nowMs: 1000 * day })).to.equal(0);
    }));

  it('is not kept where no trial began, or it could not go on, or was ended', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'kernels.json');
      const noFile = 'its trial ended with exit code 1 (Error: EMFILE: too many open files)';
      for (const why of ['its trial did not start: not permitted', noFile]) {
        expect(await numRuns(file, { ...GOOD, lacksFma: { kind: 'failed', why } })).to.equal(2);
      }
      expect(await numRuns(file, GOOD, { signal: AbortSignal.abort() })).to.equal(2);
      expect(await readdir(dir)).to.deep.equal([]);
    }));

  it('is replaced by one that is wanted anew', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'kernels.json');
      await numRuns(file, FAILED);
      expect(await numRuns(file, GOOD, { isAnew: true })).to.equal(2);
      expect(await numRuns(file, GOOD)).to.equal(0);
    }));

  it('depends on V8’s flags', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'kernels.json');
      await numRuns(file, GOOD, { v8State: 1 });
      expect(await numRuns(file, GOOD, { v8State: 2 })).to.equal(1);
    }));

  it('is announced where it takes its time, and not where it is known', async () => {
    const lines: string[] = [];
    let finish!: (trial: KernelTrial) => void;
    const running = new Promise<KernelTrial>((resolve) => (finish = resolve));
    const onNotice = (line: string): void => {
      lines.push(line);
      finish(GOOD);
    };
    expect(await knownTrial({ file: null, runTrial: () => running, onNotice })).to.equal(GOOD);
    expect(lines).to.have.length(1);
    expect(lines[0]).to.match(/^trying the kernels/);
    await knownTrial({ file: null, runTrial: () => Promise.resolve(GOOD), onNotice });
    expect(lines).to.have.length(1);
  }).timeout(10_000);

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
