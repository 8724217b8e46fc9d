import { expect } from 'chai';
import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { followFile } from '../../../../lib/jobs/worker/followed_file.js';
import { TryLog } from '../../../../lib/jobs/worker/try_log.js';
import type { LogLine } from '../../../../lib/jobs/base/job_bus.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

describe('the log of a try', () => {
  it('has each line of a file that grows, whole, also the last one without an end', () =>
    withTempFolder(async (dir) => {
      const path = join(dir, 'log.txt');
      const lines: string[] = [];
      let onFirst: () => void = () => undefined;
      const first = new Promise<void>((resolve) => (onFirst = resolve));
      const end = followFile(path, (line) => {
        lines.push(line);
        onFirst();
      });
      await writeFile(path, 'one\r\ntw');
      await first;
      await appendFile(path, Buffer.from('o\n\u00e4').subarray(0, 3)); // half a character
      await appendFile(path, Buffer.from('\u00e4').subarray(1));
      await end();
      expect(lines).to.deep.equal(['one', 'two', '\u00e4']);
    }));

  it('of a file that never comes is empty', async () => {
    const end = followFile('/nowhere/log.txt', () => expect.fail('a line'));
    await end();
  });

  it('goes to the bus in batches, in order, and tells how much it left out', async () => {
    const batches: (readonly LogLine[])[] = [];
    const append = (lines: readonly LogLine[]): Promise<void> => Promise.resolve(void batches.push(lines));
    const clock = { now: () => 1, after: () => () => undefined };
    const log = new TryLog({ append }, { run: 'r', node: 'n', index: 0, attempt: 2 }, clock);
    for (let i = 0; i < 10_002; i++) log.line(`${i}`);
    await log.close();
    const lines = batches.flat();
    expect(batches).to.have.length(21);
    expect(lines[0]).to.deep.equal({ run: 'r', node: 'n', index: 0, attempt: 2, atMs: 1, text: '0' });
    expect(lines.at(-1)!.text).to.equal('… 2 more lines, which aren\u2019t kept'.replace('\u2019', "'"));
    expect(lines.at(-2)!.text).to.equal('9999');
  });

  it('that can’t be kept is no failure', async () => {
    const log = new TryLog(
      { append: () => Promise.reject(new Error('down')) },
      { run: 'r', node: 'n', index: 0, attempt: 1 },
      { now: () => 1, after: () => () => undefined },
    );
    log.line('x'.repeat(5000));
    await log.close();
  });
});
