import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTrial } from '../../../lib/native/trial.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** Runs this JavaScript as a trial. */
const runText = async (text: string, signal = new AbortController().signal): ReturnType<typeof runTrial> =>
  withTempFolder(async (dir) => {
    const file = join(dir, 'trial.cjs');
    await writeFile(file, text);
    return runTrial(file, [], { env: { PATH: '' }, signal });
  });

describe('a trial', () => {
  it('gives what the process told, and what was said meanwhile, warnings of TensorFlow included', async () => {
    const text = 'console.error(process.env.TF_CPP_MIN_LOG_LEVEL); process.send({ a: 1 }, () => process.disconnect());';
    expect(await runText(text)).to.deep.equal({ told: { a: 1 }, log: '1\n' });
  });

  it('gives how a process ended that told nothing', async () => {
    const reasons = { 'process.exit(3)': 'it ended with exit code 3', 'process.abort()': 'it ended with SIGABRT' };
    for (const [text, reason] of Object.entries(reasons)) expect(await runText(text)).to.deep.include({ reason });
  });

  it('ends with the reason of its signal', async () => {
    const reason = new Error('interrupted');
    expect(await errorOf(Error, () => runText('for (;;);', AbortSignal.abort(reason)))).to.equal(reason);
  });
});
