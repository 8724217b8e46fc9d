/** An experiment whose runs are Jobs of a cluster that is played: the whole program on both sides. */
import { expect } from 'chai';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { readRows } from '../../lib/experiment/runs/results_folder.js';
import { FakeCluster } from '../kit/kubernetes/fake_api.js';
import { tinyModel } from '../kit/paths.js';
import { Processes } from '../kit/processes/processes.js';
import { withTempFolder } from '../kit/temp_folder.js';

const EXPERIMENT = `
base: { model: ${tinyModel('tiny-mixtral')}, parallel: { ranks: 2 }, generate: { max_new_tokens: 4 } }
workload: { prompts: [{ token_ids: [5, 17, 3] }] }
measure: generate
sweep: { grid: { comm.reduce: [rank, source] } }
timeout_s: 60
runner: { kind: kubernetes, image: played }
`;

const processes = new Processes();
before(() => processes.markThisProcess());

describe('an experiment on Kubernetes', function () {
  this.timeout(120_000);

  afterEach(processes.expectNone);

  it('has its rows, and the cluster keeps nothing of it', () =>
    withTempFolder(async (dir) => {
      const cluster = new FakeCluster({ token: 't' });
      const server = await cluster.listen();
      try {
        const named = (value: object): readonly object[] => [{ name: 'played', ...value }];
        const kubeconfig = {
          'current-context': 'played',
          contexts: named({ context: { cluster: 'played', user: 'played', namespace: 'ai' } }),
          clusters: named({ cluster: { server } }),
          users: named({ user: { token: 't' } }),
        };
        const [file, config, output] = ['sweep.yaml', 'kubeconfig', 'out'].map((name) => join(dir, name)) as [
          string,
          string,
          string,
        ];
        await writeFile(file, EXPERIMENT);
        await writeFile(config, stringify(kubeconfig));
        const env = { KUBECONFIG: config, TMPDIR: process.env.TMPDIR ?? '/tmp' };
        const { code, stderr } = await processes.cli(['experiment', file, '--output', output], { env }).ended;
        expect(code, stderr).to.equal(0);
        const rows = await readRows(output);
        expect(rows.map(({ status }) => status)).to.deep.equal(['ok', 'ok']);
        expect(rows.every(({ overhead_ms: overhead }) => overhead! > 0)).to.equal(true);
        expect(await readFile(join(output, 'runs', rows[0]!.id, 'log.txt'), 'utf8')).not.to.contain('::expertwire');
        expect(cluster.asked.filter((each) => each === 'POST /apis/batch/v1/namespaces/ai/jobs')).to.have.length(2);
        expect([...cluster.jobs.keys(), ...cluster.configMaps.keys()]).to.deep.equal([]);
      } finally {
        await cluster.close();
      }
    }));
});
