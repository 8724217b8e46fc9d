/** `expertwire worker` over NATS, in real processes that run real commands: killed, stopped, and cut off from the bus. */
import { expect } from 'chai';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CLUSTER_DEFAULTS } from '../../../lib/config/cluster_schema.js';
import { natsServer } from '../../kit/cluster/nats_server.js';
import { NatsScene } from '../../kit/jobs/nats_scene.js';
import { ShardHistory } from '../../kit/jobs/shard_history.js';
import { Processes, until, type Ended, type Running } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const NUM_SHARDS = 6;
const JOB = `
name: models
nodes:
  make:
    command: [make-checkpoint, model, --family, mixtral, --layers, '1', --hidden, '32', --experts, '4', --seed, '\${shard_index}']
    shards: ${NUM_SHARDS}
`;
const processes = new Processes();

describe('expertwire worker over NATS', function () {
  this.timeout(240_000);
  afterEach(processes.expectNone);

  before(async function () {
    if ((await natsServer()) === null) {
      this.test!.title += ' (no nats-server 2.12 or later on the PATH: go install github.com/nats-io/nats-server/v2)';
      this.skip();
    }
  });

  it('one is killed, one is stopped for a while, one loses the bus: each shard is done once, and nothing is left', () =>
    withTempFolder(async (dir) => {
      const scene = new NatsScene();
      try {
        const server = await scene.start();
        const { relay, url } = await scene.relay(server);
        const bus = await scene.open(server.url, { settings: { name: CLUSTER_DEFAULTS.name } });
        const history = new ShardHistory(bus);
        await writeFile(join(dir, 'job.yaml'), JOB);
        const env = { XDG_STATE_HOME: dir, TMPDIR: dir };
        const worker = (at: string, name: string): Running =>
          processes.cli(['worker', '--bus', at, '--name', name], { env, cwd: dir });
        const jobs = (...args: string[]): Promise<Ended> =>
          processes.cli(['jobs', ...args, '--bus', server.url], { env, cwd: dir }).ended;
        const [applied, ...workers] = [
          jobs('apply', 'job.yaml'),
          worker(server.url, 'killed'),
          worker(server.url, 'stopped'),
          worker(url, 'cut'),
        ] as const;
        expect((await applied).code).to.equal(0);
        const waiting = jobs('run', 'models', '--wait');
        await history.done(1);
        const [killed, stopped] = workers;
        killed.signal('SIGKILL');
        stopped.signal('SIGSTOP');
        relay.freeze();
        const last = worker(server.url, 'last');
        const { code, stderr } = await waiting;
        expect(code, stderr).to.equal(0);
        stopped.signal('SIGCONT');
        relay.thaw();
        for (const each of [...workers, last]) each.signal('SIGTERM');
        const ends = await Promise.all([...workers, last].map((each) => each.ended));
        expect(
          ends.map((end) => end.signal ?? end.code),
          ends.map((end) => end.stderr).join('---'),
        ).to.deep.equal(['SIGKILL', 0, 0, 0]);
        expect(history.ended('done').size).to.equal(NUM_SHARDS);
        expect((await jobs('fetch', 'models', '--output', 'files')).code).to.equal(0);
        expect((await readdir(join(dir, 'files'))).sort()).to.deep.equal(['0', '1', '2', '3', '4', '5']);
        history.expectEndsOnce();
        history.stop();
        await until(
          () => processes.running().length === 0,
          () => 'something runs still',
        );
      } finally {
        await scene.close();
      }
    }));
});
