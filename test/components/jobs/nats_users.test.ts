/** Who may use jobs over NATS: users, their permissions as docs/jobs_nats.md lists them, TLS, and several servers. */
import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { JobError } from '../../../lib/jobs/base/errors.js';
import type { Firing, JobBus } from '../../../lib/jobs/base/job_bus.js';
import { workerOf } from '../../contracts/job_bus/roster_contract.js';
import { natsServer, type NatsServer } from '../../kit/cluster/nats_server.js';
import { writeCertificates } from '../../kit/comm/certificates.js';
import { NatsScene } from '../../kit/jobs/nats_scene.js';
import { queued, Taker } from '../../kit/jobs/tasks.js';
import { Told } from '../../kit/jobs/told.js';
import { repoRoot } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from(text));
}

/** All that a worker and who gives it work do. */
async function useAll(bus: JobBus): Promise<void> {
  const revision = await bus.records.write('run.a', '1', 0);
  await bus.records.write('run.a', '2', revision);
  expect(await bus.records.list('run')).to.have.length(1);
  const told = new Told<string>();
  const unwatch = bus.records.watch('run', { changed: (_, text) => told.tell(`${text}`) });
  await told.have(1);
  unwatch();
  await bus.records.remove('run.a');
  const seat = await bus.roster.enter(workerOf('w1'));
  const taker = new Taker(bus, 'w1', 2, (delivery) =>
    delivery.deliveries === 1
      ? delivery.again(1)
      : delivery.task.key.index === 0
        ? delivery.dead('no')
        : delivery.done(),
  );
  await bus.tasks.add([queued('r1', 0), queued('r1', 1, 'w1')]);
  await taker.told.have(4);
  await taker.stop();
  await bus.tasks.drop({ run: 'r1' });
  await bus.blobs.put('r1/a', bytesOf('file'));
  for await (const bytes of bus.blobs.get('r1/a')) expect(Buffer.from(bytes).toString()).to.equal('file');
  await bus.blobs.remove('r1');
  await bus.logs.append([{ run: 'r1', node: 'a', index: 0, attempt: 1, atMs: 1, text: 'line' }]);
  for await (const { text } of bus.logs.read({ run: 'r1' }, null)) expect(text).to.equal('line');
  await bus.logs.remove('r1');
  const firings = new Told<Firing>();
  const stop = bus.schedules.take((firing) => Promise.resolve(firing).then(firings.tell));
  await bus.schedules.set('nightly', [{ kind: 'every', everyMs: 1000 }]);
  await firings.have(1);
  await stop();
  await bus.schedules.set('nightly', []);
  const ending = new AbortController();
  await bus.roster.campaign(
    'w1',
    () => {
      ending.abort();
      return Promise.resolve();
    },
    ending.signal,
  );
  await seat.leave();
}

const ENV = { NATS_USER: 'ew', NATS_PASSWORD: 'x' };
const user = (permissions: string): string => `authorization { users = [ { user: ew, password: x, ${permissions} } ] }`;

describe('jobs over NATS, and who may use them', function () {
  let scene: NatsScene;
  let permitted: string;
  before(async function () {
    if ((await natsServer()) === null) return this.skip();
    const page = await readFile(join(repoRoot(), 'docs/jobs_nats.md'), 'utf8');
    permitted = /```conf\n(permissions [^`]*)```/.exec(page)![1]!.replaceAll('NAME', 'test');
  });
  beforeEach(() => {
    scene = new NatsScene();
  });
  afterEach(() => scene.close());

  it('the permissions that docs/jobs_nats.md lists are enough for all that jobs do', async () => {
    const server = await scene.start({ config: user(permitted) });
    const bus = await scene.open(server.url, { env: ENV });
    await useAll(bus);
  });

  it('a user who may not is told so at once, and one whom nobody knows too', async () => {
    const server = await scene.start({
      config: user('permissions { publish: ["expertwire.>"], subscribe: ["_INBOX.>"] }'),
    });
    const refused = await errorOf(JobError, () => scene.open(server.url, { env: ENV }));
    expect(refused.message).to.match(/^BUS_FAILED: NATS at .*Permissions Violation.*; see /i);
    const silent = permitted.replace('"$JS.API.CONSUMER.*.expertwire_test_logs.>"', '"x"');
    const deaf = await scene.start({ config: user(silent) });
    const bus = await scene.open(deaf.url, { env: ENV });
    const unread = await errorOf(JobError, () => bus.logs.read({ run: 'r1' }, null)[Symbol.asyncIterator]().next());
    expect(unread.message).to.match(
      /^BUS_FAILED: NATS at .* didn't take the reading of expertwire_test_logs \(.*Permissions/i,
    );
    const unknown = await errorOf(JobError, () => scene.open(server.url));
    expect(unknown.message).to.match(/^BUS_FAILED: NATS at .* can't be reached \(.*Authorization.*\); see /i);
  });

  it('a server whose authority isn’t the given one is refused, and one whose is serves', () =>
    withTempFolder(async (dir) => {
      const [server, strange] = [
        await writeCertificates(dir, 'servers', 'localhost'),
        await writeCertificates(dir, 'strangers', 'localhost'),
      ];
      const tls = `tls { cert_file: "${server.cert}", key_file: "${server.key}", ca_file: "${server.ca}", verify: true }`;
      const { port } = await scene.start({ config: tls });
      const nats = (ca: string) => ({ nats: { credentials: null, tls: { cert: server.cert, key: server.key, ca } } });
      const bus = await scene.open(`tls://localhost:${port}`, { settings: nats(server.ca) });
      await bus.records.write('run.a', '1', 0);
      const open = (): Promise<unknown> =>
        scene.open(`tls://localhost:${port}`, { settings: nats(strange.ca), connectMs: 300 });
      expect((await errorOf(JobError, open)).message).to.match(/^BUS_FAILED: NATS at tls:.*certificate/);
    }));

  it('three servers keep three copies, and one of them may be killed', async () => {
    const ports = await freePorts(3);
    const routes = ports.map((port) => `nats://127.0.0.1:${port}`).join(', ');
    const servers: NatsServer[] = await Promise.all(
      ports.map((port, i) =>
        scene.start({
          config: `server_name: s${i}\ncluster { name: three, listen: "127.0.0.1:${port}", routes: [${routes}] }`,
        }),
      ),
    );
    const urls = servers.map(({ url }) => url);
    const bus = await scene.open(urls.join(','), { connectMs: 40_000 });
    const revision = await bus.records.write('run.a', '1', 0);
    await bus.tasks.add([queued('r1', 0), queued('r1', 1)]);
    await servers[0]!.kill();
    expect((await bus.records.read('run.a'))?.text).to.equal('1');
    await bus.records.write('run.a', '2', revision);
    const taker = new Taker(bus, 'w1', 1);
    await taker.told.have(2);
    await taker.stop();
    expect(taker.names).to.deep.equal(['r1 0', 'r1 1']);
  });
});

/** Nobody listens there now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await new Promise((resolve) => server.once('listening', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
