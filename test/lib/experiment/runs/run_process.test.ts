import { expect } from 'chai';
import { RunProcess } from '../../../../lib/experiment/runs/run_process.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const numTimers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;

describe('the process of a run', () => {
  it('is not signalled once it has ended, when its number may be another’s', () =>
    withTempFolder(async (folder) => {
      const child = await RunProcess.start({ program: ['-e', ''], env: {}, folder });
      expect(await child.ended()).to.include({ code: 0, notStarted: null });
      const before = numTimers();
      child.stop(60_000);
      expect(numTimers()).to.equal(before);
    }));
});
