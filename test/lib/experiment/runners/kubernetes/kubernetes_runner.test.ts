import { expect } from 'chai';
import { fileURLToPath } from 'node:url';
import { ConfigError } from '../../../../../lib/config/errors.js';
import { ExperimentError } from '../../../../../lib/experiment/base/errors.js';
import type { RunEnd } from '../../../../../lib/experiment/base/run.js';
import type { KubernetesSettings } from '../../../../../lib/experiment/base/runner.js';
import { runnerSettings } from '../../../../../lib/experiment/file/runner_schema.js';
import { KubernetesRunner } from '../../../../../lib/experiment/runners/kubernetes/kubernetes_runner.js';
import { describeRunner } from '../../../../contracts/runner_contract.js';
import { plannedRun, RESULT, runFolder } from '../../../../kit/experiment/runs.js';
import { FakeCluster, type FakeClusterOptions } from '../../../../kit/kubernetes/fake_api.js';
import { Processes, until } from '../../../../kit/processes/processes.js';
import { errorOf } from '../../../../kit/rejects.js';
import { withTempFolder } from '../../../../kit/temp_folder.js';

const PLAYED = fileURLToPath(new URL('../../../../kit/experiment/played_run.js', import.meta.url));
const PROGRAM = [process.execPath, '--no-warnings', PLAYED];
const NEVER = new AbortController().signal;
const LONG_MS = 40_000;

const processes = new Processes();
before(() => processes.markThisProcess());
afterEach(processes.expectNone);

const settings = (over: Partial<KubernetesSettings> = {}): KubernetesSettings => ({
  ...(runnerSettings('kubernetes', () => ({ where: 'a test' })) as KubernetesSettings),
  ...over,
});

const runnerAt = (
  server: string,
  graceMs: number,
  over: Partial<KubernetesSettings> = {},
  onNotice: (line: string) => void = () => undefined,
): KubernetesRunner =>
  new KubernetesRunner({
    ...{ settings: settings(over), parallel: 2, env: {}, graceMs, program: PROGRAM },
    connection: { server, namespace: 'default', token: () => Promise.resolve('t') },
    limits: { retryMs: 5 },
    onNotice,
  });

describe('on Kubernetes', () => {
  let cluster: FakeCluster;
  let server = '';
  before(async () => {
    cluster = new FakeCluster({ token: 't' });
    server = await cluster.listen();
  });
  after(() => cluster.close());
  afterEach(() => {
    expect([...cluster.jobs.keys(), ...cluster.configMaps.keys()], 'objects left behind').to.deep.equal([]);
  });

  describeRunner('of a cluster', (graceMs) => runnerAt(server, graceMs), processes, {
    hasBegun: () => cluster.hasBegun(),
  });
});

describe('a runner on Kubernetes', () => {
  /** What becomes of a run there. */
  async function played(
    options: FakeClusterOptions,
    play: string,
    use: (ended: Promise<RunEnd>, cluster: FakeCluster, notices: readonly string[]) => Promise<void>,
    over: Partial<KubernetesSettings> = {},
  ): Promise<void> {
    const cluster = new FakeCluster(options);
    const notices: string[] = [];
    const runner = runnerAt(await cluster.listen(), 1000, over, (line) => notices.push(line));
    try {
      await withTempFolder(async (dir) => {
        const folder = await runFolder(dir, plannedRun({ workload: { play } }));
        const stopping = new AbortController();
        const ended = runner.run(folder, LONG_MS, stopping.signal);
        try {
          await use(ended, cluster, notices);
        } finally {
          stopping.abort(new Error('the test is over'));
          await ended.catch(() => undefined);
        }
      });
    } finally {
      await runner.close();
      await cluster.close();
    }
    expect([...cluster.jobs.keys(), ...cluster.configMaps.keys()], 'objects left behind').to.deep.equal([]);
  }

  const failureOf = (end: RunEnd): string =>
    end.status === 'failed' ? end.error.message : expect.fail(`it is ${end.status}`);
  const began = (cluster: FakeCluster): Promise<void> =>
    until(
      () => cluster.hasBegun(),
      () => 'the run did not begin',
    );

  it('tells when the process ran, not how long it waited', () =>
    played({}, 'result', async (ended) => {
      const end = await ended;
      expect(end.status).to.equal('ok');
      if (end.status !== 'ok') return;
      expect(end.result.metrics).to.deep.include(RESULT.metrics);
      expect(end.times!.durationMs).to.be.at.least(end.result.measureMs);
    }));

  it('looks again where watches and logs break off', () =>
    played({}, 'late', async (ended, cluster) => {
      await began(cluster);
      cluster.breakWatches();
      cluster.breakLogs();
      const asked = cluster.asked.length;
      await until(
        () => cluster.asked.slice(asked).filter((each) => /\/pods(\/.*\/log)?$/.test(each)).length >= 3,
        () => 'nobody asks again',
      );
      for (const pod of cluster.pods.values()) pod.terminate();
      expect((await ended).status).to.equal('ok');
    }));

  for (const [what, status, pattern] of [
    [
      'an image that is not there',
      {
        phase: 'Pending',
        containerStatuses: [{ state: { waiting: { reason: 'ImagePullBackOff', message: 'no x' } } }],
      },
      /the pod can't start \(ImagePullBackOff: no x\); check image and pull_secret/,
    ],
    [
      'a Secret that is not there',
      { phase: 'Pending', containerStatuses: [{ state: { waiting: { reason: 'CreateContainerConfigError' } } }] },
      /the pod can't start \(CreateContainerConfigError\); check the claim, Secrets/,
    ],
    [
      'a machine without memory',
      { phase: 'Failed', reason: 'Evicted', message: 'low on memory' },
      /taken off its machine \(Evicted: low on memory\); run it again/,
    ],
    [
      'a pod that took too much memory',
      { phase: 'Failed', containerStatuses: [{ state: { terminated: { exitCode: 137, reason: 'OOMKilled' } } }] },
      /more memory than it may \(OOMKilled\); raise memory/,
    ],
  ] as const) {
    it(`tells of ${what}`, () =>
      played({ podStatus: () => status }, 'result', async (ended) => {
        expect(failureOf(await ended)).to.match(pattern);
      }));
  }

  it('tells why a machine is waited for, once it took too long', () => {
    const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/3 nodes' };
    return played(
      { podStatus: () => ({ phase: 'Pending', conditions: [condition] }) },
      'result',
      async (ended) => {
        expect(failureOf(await ended)).to.match(/pending_timeout_s \(0\.2 s\) \(Unschedulable: 0\/3 nodes\); raise it/);
      },
      { pending_timeout_s: 0.2 },
    );
  });

  it('tells why the cluster makes no pod', () =>
    played({ refusesPods: 'pods "a" is forbidden: violates PodSecurity' }, 'result', async (ended) => {
      expect(failureOf(await ended)).to.match(
        /makes no pod for the run \(pods "a" is forbidden: violates PodSecurity\); ask for less/,
      );
    })).timeout(20_000);

  it('waits where a quota is used up, says so once, and runs when there is room', () => {
    const refusesPods = 'pods "a" is forbidden: exceeded quota: team, requested: pods=1, used: pods=10';
    return played({ refusesPods }, 'result', async (ended, cluster, notices) => {
      await until(
        () => notices.length > 0,
        () => 'nobody said anything',
      );
      expect(notices.join()).to.match(/^runs wait for room in the cluster \(.*exceeded quota: team.*pending_timeout_s/);
      cluster.makeRoom();
      expect((await ended).status).to.equal('ok');
    });
  }).timeout(20_000);

  it('keeps a result though what is left can’t be taken away, and says that', () => {
    const answers = (method: string, path: string): number | null =>
      method === 'DELETE' && path.includes('/jobs/') && isAway ? 500 : null;
    let isAway = true;
    return played({ answers }, 'result', async (ended, cluster, notices) => {
      expect((await ended).status).to.equal('ok');
      expect(notices.join()).to.match(/^what the Job expertwire-run-\w+ made may be left \(.*500.*kubectl delete job/);
      isAway = false;
      cluster.jobs.clear();
      cluster.configMaps.clear();
    });
  });

  it('tells of a pod that somebody took away', () =>
    played({}, 'hang', async (ended, cluster) => {
      await began(cluster);
      for (const pod of cluster.pods.values()) void pod.delete();
      expect(failureOf(await ended)).to.match(/ended with exit code|by SIGTERM|gone/);
    }));

  it('tries again where the server fails for a moment', () => {
    let left = 3;
    const answers = (method: string): number | null => (method === 'POST' && left-- > 0 ? 503 : null);
    return played({ answers }, 'result', async (ended) => {
      expect((await ended).status).to.equal('ok');
    });
  });

  for (const [what, answers, pattern] of [
    [
      'who may not',
      (method: string) => (method === 'POST' ? 403 : null),
      /RUNNER_FAILED: .*403 to POST .*jobs.*role of/,
    ],
    ['whom nobody knows', () => 401, /RUNNER_FAILED: .*401.*log in again/],
    ['a namespace that is not there', (method: string) => (method === 'POST' ? 404 : null), /404.*check the namespace/],
  ] as const) {
    it(`ends for ${what}`, () =>
      played({ answers }, 'result', async (ended) => {
        expect((await errorOf(ExperimentError, () => ended)).message).to.match(pattern);
      }));
  }

  it('has settings that are checked as files of experiments are', async () => {
    const refused = async (given: Record<string, string>): Promise<string> => {
      const read = (): unknown =>
        runnerSettings({ kind: 'kubernetes', ...given }, () => ({ where: 'a.yaml', line: 3 }));
      return (await errorOf(ConfigError, () => Promise.resolve().then(read))).message;
    };
    expect(await refused({ imag: 'x' })).to.match(/imag.*image/);
    expect(await refused({ memory: '8GB' })).to.match(/memory.*8Gi/);
    expect(await refused({ node_selector: 'ssd' })).to.match(/node_selector.*mapping/);
    expect(settings()).to.deep.include({ namespace: null, cpus: null, env_secrets: [], pending_timeout_s: 3600 });
  });

  it('goes on where the server is away for a moment while a run runs', () => {
    let left = 0;
    const answers = (method: string): number | null => (method === 'GET' && left-- > 0 ? 500 : null);
    return played({ answers }, 'late', async (ended, cluster) => {
      await began(cluster);
      left = 12;
      cluster.breakWatches();
      cluster.breakLogs();
      await until(
        () => left < 0,
        () => 'nobody asks again',
      );
      for (const pod of cluster.pods.values()) pod.terminate();
      expect((await ended).status).to.equal('ok');
    });
  });

  it('ends for a server that does not answer', async () => {
    const runner = runnerAt('http://127.0.0.1:1', 1000);
    await withTempFolder(async (dir) => {
      const folder = await runFolder(dir, plannedRun());
      const error = await errorOf(ExperimentError, () => runner.run(folder, LONG_MS, NEVER));
      expect(error.message).to.match(/RUNNER_FAILED: the API server at http:\/\/127\.0\.0\.1:1 doesn't answer/);
    });
    await runner.close();
  });
});
