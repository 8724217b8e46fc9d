import { expect } from 'chai';
import { appendFile, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { keyPaths } from '../../../../lib/config/layers.js';
import { keyInfoOf } from '../../../../lib/config/schema.js';
import type { PlannedRun } from '../../../../lib/experiment/base/run.js';
import { Inputs } from '../../../../lib/experiment/file/inputs.js';
import { runId } from '../../../../lib/experiment/file/run_id.js';
import { MEASURES } from '../../../../lib/experiment/measures/measures.js';
import { JobError } from '../../../../lib/jobs/base/errors.js';
import { allowedRun, checkSameFiles } from '../../../../lib/jobs/work/allowed_run.js';
import { kindOfSetting } from '../../../../lib/jobs/work/settings.js';
import type { Rights } from '../../../../lib/jobs/work/rights.js';
import { plannedRun } from '../../../kit/experiment/planned_run.js';
import { tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { errorOf } from '../../../kit/rejects.js';

const RIGHTS: Rights = { folder: '/work/shard', models: ['/models'], canLoadCode: false, servers: [] };
const realPath = (path: string): string | null =>
  ['/', '/work', '/work/shard', '/models', '/models/tiny', '/models/load.jsonl', '/etc/passwd'].includes(path)
    ? path
    : null;
const refused = async (run: PlannedRun): Promise<string> => {
  const { code, text } = await errorOf(JobError, () => allowedRun(run, RIGHTS, realPath));
  expect(code).to.equal('NOT_ALLOWED');
  return text;
};

const withConfig = async (more: Readonly<Record<string, object | string>>): Promise<PlannedRun> => {
  const run = await plannedRun('generate');
  return { ...run, config: { ...run.config, model: '/models/tiny', ...more } as unknown as PlannedRun['config'] };
};

describe('runs of experiments on a worker', () => {
  it('have the model that is called so here', async () => {
    for (const model of ['/models/tiny', '/home/other/models/tiny'])
      expect(allowedRun(await withConfig({ model }), RIGHTS, realPath).config.model).to.equal('/models/tiny');
    expect(await refused(await withConfig({ model: '/etc' }))).to.match(/config.model is \/etc, which is no model/);
  });

  it('of another machine are done where the files are the same, and not where others are called so', () =>
    withTempFolder(async (dir) => {
      const model = join(dir, 'tiny-mixtral');
      await cp(tinyModel('tiny-mixtral'), model, { recursive: true });
      const run = await plannedRun('generate');
      const planned = { ...run, id: runId(run, await new Inputs().digestsOf(run, MEASURES.generate)) };
      const here = { ...planned, config: { ...planned.config, model } };
      await checkSameFiles(planned, here);
      await appendFile(join(model, 'config.json'), '\n');
      const { code, text } = await errorOf(JobError, () => checkSameFiles(planned, here));
      expect([code, text.includes(model)]).to.deep.equal(['NOT_ALLOWED', true]);
    }));

  it('load no code, read no file and write none that isn’t the worker’s', async () => {
    const { config } = await withConfig({});
    const cases: readonly (readonly [Readonly<Record<string, object>>, RegExp])[] = [
      [{ plugins: [{ path: '/x.mjs', options: {} }] }, /config.plugins may load code/],
      [{ server: { ...config.server, journal: '/etc/cron.d/x' } }, /config.server.journal may load code/],
      [
        { server: { ...config.server, batches: { ...config.server.batches, folder: '/home/victim' } } },
        /config.server.batches.folder may load code/,
      ],
      [{ comm: { ...config.comm, tls: { ...config.comm.tls, key: '/etc/key' } } }, /config.comm.tls.key may/],
      [{ cluster: { ...config.cluster, enabled: true } }, /config.cluster.enabled may/],
      [{ experts: { ...config.experts, placement: '/etc/shadow' } }, /config.experts.placement is \/etc\/shadow/],
      [
        { engine: { ...config.engine, kv_tiers: [{ disk: { path: '/x', bytes: 1 } }] } },
        /none of this version|kv_tiers may/,
      ],
      [{ nope: {} }, /none of this version/],
    ];
    for (const [more, message] of cases) expect(await refused(await withConfig(more))).to.match(message);
    expect(
      allowedRun(await withConfig({ engine: { ...config.engine, mla: 'naive' } }), RIGHTS, realPath).config.engine.mla,
    ).to.equal('naive');
  });

  it('no key of the configuration that names a file is any text', () => {
    const named = keyPaths().filter((path) => /path|file|folder|module/i.test(keyInfoOf(path)?.allowed ?? ''));
    expect(named.map((path) => path.join('.'))).to.include.members(['model', 'plugins', 'server.batches.folder']);
    expect(named.filter((path) => kindOfSetting(path) === 'text')).to.deep.equal([]);
  });

  it('files of workloads are looked for as models are', async () => {
    const run = await withConfig({});
    const withFile = (file: string): PlannedRun => ({ ...run, workload: { ...run.workload, prompts_file: file } });
    expect(allowedRun(withFile('/elsewhere/load.jsonl'), RIGHTS, realPath).workload.prompts_file).to.equal(
      '/models/load.jsonl',
    );
    expect(await refused(withFile('/etc/passwd'))).to.match(/workload.prompts_file is \/etc\/passwd/);
  });

  it('benchmarks and unknown measures aren’t done', async () => {
    const run = await withConfig({});
    expect(await refused({ ...run, measure: { kind: 'bench', bench: 'peers' } })).to.match(/runs programs of others/);
    expect(await refused({ ...run, measure: { kind: 'nope' } })).to.match(/there is no measure "nope"/);
  });
});
