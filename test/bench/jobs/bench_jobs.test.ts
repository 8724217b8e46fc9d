import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { benchJobs } from '../../../bench/jobs/bench_jobs.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

describe('bench jobs', () => {
  const run = async (...args: readonly string[]): Promise<string> => {
    const context = commandContext();
    await benchJobs(args, context);
    return context.printed();
  };

  it('counts the shards that are done in effect, and how often they were run', () =>
    withTempFolder(async (folder) => {
      const json = join(folder, 'figures.json');
      const told = await run('--only', 'tasks', '--buses', 'local', '--tasks', '40', '--workers', '2', '--json', json);
      expect(told).to.match(/local +succeeded +[\d.]+ +[\d.]+ +40 +40/);
      const { results } = JSON.parse(await readFile(json, 'utf8')) as { results: { tasks: { rows: object[] } } };
      expect(results.tasks.rows[0]).to.include({ bus: 'local', state: 'succeeded', once: 40, tries: 40 });
    }));

  it('has runs in line beside the same ones here', async () => {
    const told = await run('--only', 'queue', '--buses', 'local', '--runs', '5', '--workers', '1');
    expect(told).to.match(/overhead_ms\n *local +5 /);
  });

  it('refuses what it can’t measure', async () => {
    const refused: readonly (readonly [string, RegExp])[] = [
      ['--only none', /--only: there is no 'none'; give some of queue,tasks,triggers$/],
      ['--buses kafka', /--buses: there is no 'kafka'; give some of nats,local$/],
      ['--tasks 10001', /--tasks/],
      ['--seconds 0', /--seconds/],
    ];
    for (const [args, reason] of refused)
      expect((await errorOf(UsageError, () => run(...args.split(' ')))).message).to.match(reason);
  });
});
