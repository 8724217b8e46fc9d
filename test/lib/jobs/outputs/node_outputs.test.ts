import { expect } from 'chai';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { readResults } from '../../../../lib/experiment/runs/read_results.js';
import type { JobBus } from '../../../../lib/jobs/base/job_bus.js';
import { JobError } from '../../../../lib/jobs/base/errors.js';
import type { Work } from '../../../../lib/jobs/base/job.js';
import { runOf as parsedRun } from '../../../../lib/jobs/base/parse.js';
import { planBytes } from '../../../../lib/jobs/base/plan_blob.js';
import { runRecord, shardRecord, type Shard } from '../../../../lib/jobs/base/task.js';
import { openLocalJobBus } from '../../../../lib/jobs/local/local_job_bus.js';
import { writeOutputs } from '../../../../lib/jobs/outputs/node_outputs.js';
import { planOf } from '../../../kit/experiment/plans.js';
import { errorOf } from '../../../kit/rejects.js';
import { ENVIRONMENT, RESULT } from '../../../kit/experiment/runs.js';
import { job, node, runOf } from '../../../kit/jobs/jobs.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const withBus = (use: (bus: JobBus, dir: string) => Promise<void>): Promise<void> =>
  withTempFolder(async (dir) => {
    const bus = await openLocalJobBus(join(dir, 'jobs'), { isDurable: false });
    try {
      await use(bus, dir);
    } finally {
      await bus.close();
    }
  });

const put = (bus: JobBus, name: string, text: string): Promise<number> =>
  bus.blobs.put(name, Readable.from([Buffer.from(text)]));

async function keepRun(bus: JobBus, work: Work): Promise<void> {
  const run = runOf(job({ nodes: [node('work', { work })] }), 'r', 0);
  await bus.records.write(runRecord('r'), JSON.stringify(run), 0);
}

async function keepShard(bus: JobBus, index: number, files: Readonly<Record<string, string>>): Promise<void> {
  const names = Object.entries(files);
  for (const [name, text] of names) await put(bus, `r/work/${index}/1/${name}`, text);
  const shard: Shard = {
    ...{ state: 'done', value: null, worker: 'w', attempts: 1, beganMs: 1000, endedMs: 3500 },
    files: names.map(([name, text]) => ({ name, blob: `r/work/${index}/1/${name}`, bytes: text.length })),
  };
  await bus.records.write(shardRecord({ run: 'r', node: 'work', index }), JSON.stringify(shard), 0);
}

describe('what a node left', () => {
  it('of an experiment is a folder of results, failures and all', () =>
    withBus(async (bus, dir) => {
      const plan = planOf([1, 2, 3]);
      await bus.blobs.put('job.nightly/plan', planBytes(plan));
      await keepRun(bus, { kind: 'experiment', plan: 'job.nightly/plan', numRuns: 3 });
      await keepShard(bus, 0, {
        'result.json': JSON.stringify({ ...RESULT, measureMs: 2000, environment: ENVIRONMENT }),
      });
      const failed: Shard = {
        state: 'failed',
        error: { code: 'RUN_TIMED_OUT', message: 'late' },
        worker: 'w',
        attempts: 3,
        endedMs: 9,
      };
      await bus.records.write(shardRecord({ run: 'r', node: 'work', index: 1 }), JSON.stringify(failed), 0);
      await bus.records.write(
        shardRecord({ run: 'r', node: 'work', index: 2 }),
        JSON.stringify({ ...failed, state: 'stopped' }),
        0,
      );
      const folder = join(dir, 'results');
      await writeOutputs(bus, { run: 'r', node: 'work' }, folder);
      const { experiment, rows } = await readResults(folder);
      expect(experiment.name).to.equal('played');
      expect(rows.map(({ id, status, duration_ms: ms }) => [id, status, ms])).to.deep.equal([
        [plan.runs[0]!.id, 'ok', 2500],
        [plan.runs[1]!.id, 'timed_out', 0],
      ]);
    }));

  it('of a plan or a run that another hand wrote is nothing: names of folders are names', () =>
    withBus(async (bus, dir) => {
      const plan = planOf([1]);
      const evil = { ...plan, runs: plan.runs.map((run) => ({ ...run, id: '../../../../outside' })) };
      await bus.blobs.put('job.nightly/plan', planBytes(evil));
      await keepRun(bus, { kind: 'experiment', plan: 'job.nightly/plan', numRuns: 1 });
      await keepShard(bus, 0, { 'result.json': '{}' });
      const write = () => writeOutputs(bus, { run: 'r', node: 'work' }, join(dir, 'results'));
      expect((await errorOf(JobError, write)).code).to.equal('BROKEN_RECORD');
      const record = (await bus.records.read(runRecord('r')))!;
      const text = record.text.replace('"work":{"state"', '"../work":{"state"');
      expect(text).not.to.equal(record.text);
      await bus.records.write(runRecord('r'), text, record.revision);
      expect((await errorOf(JobError, write)).code).to.equal('BROKEN_RECORD');
      expect(await readdir(dir)).to.have.members(['jobs', 'results']);
      expect(await readdir(join(dir, 'results'))).to.deep.equal([]);
    }));

  it('of a batch is one file of rows, in the order of its lines', () =>
    withBus(async (bus, dir) => {
      await keepRun(bus, { kind: 'batch', url: 'http://h', input: 'i', numLines: 4, linesPerShard: 2, concurrency: 1 });
      await keepShard(bus, 1, { 'output.jsonl': '{"n":2}\n', 'error.jsonl': '{"e":3}\n' });
      await keepShard(bus, 0, { 'output.jsonl': '{"n":0}\n{"n":1}\n' });
      await writeOutputs(bus, { run: 'r', node: 'work' }, join(dir, 'rows'));
      expect(await readFile(join(dir, 'rows', 'output.jsonl'), 'utf8')).to.equal('{"n":0}\n{"n":1}\n{"n":2}\n');
      expect(await readFile(join(dir, 'rows', 'error.jsonl'), 'utf8')).to.equal('{"e":3}\n');
    }));

  it('lies in its folder alone, whatever ids and names the bus has', () =>
    withBus(async (bus, dir) => {
      const { experiment, runs } = planOf([1]);
      const id = '../../../outside';
      await bus.blobs.put('plan', planBytes({ experiment, runs: [{ ...runs[0]!, id }] }));
      await keepRun(bus, { kind: 'experiment', plan: 'plan', numRuns: 1 });
      await keepShard(bus, 0, { 'evil.sh': 'echo' });
      const { code } = await errorOf(JobError, () =>
        writeOutputs(bus, { run: 'r', node: 'work' }, join(dir, 'a', 'b', 'results')),
      );
      expect(code).to.equal('BROKEN_RECORD');
      expect(await readdir(join(dir, 'a'))).to.deep.equal(['b']);
      const run = runOf(job({ nodes: [node('work')] }), 'q', 0);
      const text = JSON.stringify({ ...run, nodes: { '../../outside': run.nodes.work } });
      const record = { key: runRecord('q'), text, revision: 1 };
      expect((await errorOf(JobError, () => parsedRun(record))).code).to.equal('BROKEN_RECORD');
      expect(parsedRun({ ...record, text: JSON.stringify(run) })).to.include({ id: 'q' });
    }));
});
