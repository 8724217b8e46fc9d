/** What befalls servers, networks and workers, and what becomes of jobs then: a real nats-server. */
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect } from 'chai';
import { JobError } from '../../../lib/jobs/base/errors.js';
import type { Firing, JobBus } from '../../../lib/jobs/base/job_bus.js';
import { leading, workerOf } from '../../contracts/job_bus/roster_contract.js';
import { natsServer, type NatsServer } from '../../kit/cluster/nats_server.js';
import { NATS_SCENE_TTL_MS, NatsScene, type OpenOptions } from '../../kit/jobs/nats_scene.js';
import { clockPasses } from '../../kit/processes/processes.js';
import { Gate, queued, Taker } from '../../kit/jobs/tasks.js';
import { Told } from '../../kit/jobs/told.js';
import { errorOf } from '../../kit/rejects.js';

async function* bytesOf(numBytes: number): AsyncGenerator<Uint8Array> {
  for (let left = numBytes; left > 0; left -= 2 ** 17)
    yield await Promise.resolve(new Uint8Array(Math.min(left, 2 ** 17)));
}

describe('jobs over NATS, when something fails', function () {
  let scene: NatsScene;
  before(async function () {
    if ((await natsServer()) === null) this.skip();
  });
  beforeEach(() => {
    scene = new NatsScene();
  });
  afterEach(() => scene.close());

  const opened = async (options: OpenOptions = {}): Promise<{ server: NatsServer; bus: JobBus; other: JobBus }> => {
    const server = await scene.start();
    const [bus, other] = [await scene.open(server.url, options), await scene.open(server.url, options)];
    return { server, bus, other };
  };

  describe('a server that is killed and comes back', () => {
    it('loses nothing: what is asked of it meanwhile waits, and is done once', async () => {
      const { server, bus, other } = await opened();
      const revision = await bus.records.write('run.a', '1', 0);
      await server.kill();
      const waiting = [
        bus.records.write('run.a', '2', revision),
        bus.records.write('run.b', '1', 0),
        bus.tasks.add([queued('r1', 0), queued('r1', 1)]),
        bus.blobs.put('r1/a', bytesOf(300_000)),
        bus.logs.append([{ run: 'r1', node: 'a', index: 0, attempt: 1, atMs: 1, text: 'line' }]),
      ];
      await server.restart();
      await Promise.all(waiting);
      expect((await other.records.list('run')).map(({ key, text }) => `${key} ${text}`).sort()).to.deep.equal([
        'run.a 2',
        'run.b 1',
      ]);
      const taker = new Taker(other, 'w1', 1);
      await taker.told.have(2);
      await taker.stop();
      expect(taker.names).to.deep.equal(['r1 0', 'r1 1']);
      const texts: string[] = [];
      for await (const { text } of other.logs.read({ run: 'r1' }, null)) texts.push(text);
      expect(texts).to.deep.equal(['line']);
    });

    it('and what was in hand is done all the same, and tasks that wait are taken', async () => {
      const { server, bus, other } = await opened({ silenceMs: 60_000 });
      const [gate, told] = [new Gate(), new Told<string>()];
      const taker = new Taker(other, 'w1', 1, async (delivery) => {
        if (delivery.task.key.index === 0) await gate.opened;
        await delivery.done();
        told.tell(`${delivery.task.key.index}`);
      });
      await bus.tasks.add([queued('r1', 0), queued('r1', 1), queued('r1', 2)]);
      await taker.told.have(1);
      await server.kill();
      gate.open();
      await server.restart();
      await told.until((all) => new Set(all).size === 3);
      await taker.stop();
    });

    it('tells who watches all anew, and nobody that workers who live are gone', async () => {
      const { server, bus, other } = await opened();
      await bus.roster.enter(workerOf('a'));
      const [rosters, records] = [new Told<string>(), new Told<string>()];
      other.roster.watch((workers) => rosters.tell(workers.map(({ id }) => id).join(' ')));
      await rosters.until((all) => all.at(-1) === 'a');
      const ready = (): void => records.tell('ready');
      other.records.watch('run', { changed: (key, text) => records.tell(`${key} ${text}`), ready });
      await records.have(1);
      await server.kill();
      const killedMs = Date.now();
      const writing = bus.records.write('run.a', '1', 0);
      await clockPasses(killedMs + NATS_SCENE_TTL_MS); // so long keys live without being put again
      await server.restart();
      await writing;
      await records.until((all) => all.includes('run.a 1') && all.filter((each) => each === 'ready').length >= 2);
      await bus.roster.enter(workerOf('b'));
      await rosters.until((all) => all.at(-1)!.includes('b'));
      expect(rosters.all.slice(rosters.all.indexOf('a'))).to.deep.equal(['a', 'a b']);
    });

    it('goes on with its schedules, and what was due meanwhile is due once', async () => {
      const { server, bus, other } = await opened();
      const told = new Told<Firing>();
      await bus.schedules.set('nightly', [{ kind: 'every', everyMs: 1000 }]);
      other.schedules.take((firing) => Promise.resolve(firing).then(told.tell));
      const [first] = await told.have(1);
      await server.kill();
      await clockPasses(first!.dueMs + 2000); // it is due twice
      const downMs = Date.now();
      await server.restart();
      await told.until((all) => all.filter(({ dueMs }) => dueMs > downMs).length >= 2);
      const dues = told.all.map(({ dueMs }) => dueMs);
      expect(dues).to.deep.equal([...new Set(dues)]);
    });
  });

  it('who watches hears of what comes although the server that fed it is gone, and others serve', async () => {
    const { server, bus, other } = await opened();
    const told = new Told<string>();
    other.records.watch('run', {
      changed: (key, text) => told.tell(`${key} ${text}`),
      ready: () => told.tell('ready'),
    });
    await told.have(1);
    const admin = await connect({ servers: server.url });
    const { consumers } = await jetstreamManager(admin);
    const stream = 'KV_expertwire_test_jobs';
    for await (const { name } of consumers.list(stream)) await consumers.delete(stream, name);
    await admin.close();
    await bus.records.write('run.a', '1', 0);
    await told.until((all) => all.includes('run.a 1'));
  });

  it('limits that somebody changed at the server stay', async () => {
    const { server } = await opened();
    const admin = await connect({ servers: server.url });
    const { streams } = await jetstreamManager(admin);
    await streams.update('expertwire_test_logs', { max_bytes: 5_000_000 });
    await scene.open(server.url, { settings: { ttl_ms: 2000 } });
    expect((await streams.info('expertwire_test_logs')).config.max_bytes).to.equal(5_000_000);
    expect((await streams.info('KV_expertwire_test_workers')).config.max_age).to.equal(2e9);
    await admin.close();
  });

  it('a bus that stays away is told when patience ends, and the process goes on', async () => {
    const { server, bus } = await opened({ callMs: 300 });
    await server.kill();
    const failed = await errorOf(JobError, () => bus.records.read('run.a'));
    expect(failed.message).to.match(/^BUS_FAILED: NATS at .* didn't take the record run.a \(.*\); see that it runs, /);
    await server.restart();
    const written = (): Promise<unknown> => bus.records.write('run.a', '1', 0).catch(written);
    await written();
  });

  it('a worker that dies has its tasks taken from it, by whoever is there', async () => {
    const { bus, other, server } = await opened({ silenceMs: 500 });
    const dying = await scene.open(server.url, { silenceMs: 500 });
    const never = new Taker(dying, 'w1', 2, () => new Promise(() => undefined));
    await bus.tasks.add([queued('r1', 0), queued('r1', 1), queued('r1', 2)]);
    await never.told.have(2);
    await dying.close();
    const taker = new Taker(other, 'w2', 3);
    await taker.told.have(3);
    await taker.stop();
    const redelivered = taker.told.all.map(({ task, deliveries }) => `${task.key.index} ${deliveries}`);
    expect(redelivered.sort()).to.deep.equal(['0 2', '1 2', '2 1']);
  });

  it('a worker that nobody hears loses its task, and what it says of it later counts for nothing', async () => {
    const server = await scene.start();
    const { relay, url } = await scene.relay(server);
    const [bus, cut] = [await scene.open(server.url, { silenceMs: 500 }), await scene.open(url, { silenceMs: 500 })];
    const [gate, ends] = [new Gate(), new Told<string>()];
    const late = new Taker(cut, 'w1', 1, async (delivery) => {
      await gate.opened;
      await delivery.done();
      ends.tell('late one ended');
    });
    await bus.tasks.add([queued('r1', 0)]);
    await late.told.have(1);
    relay.freeze();
    const taker = new Taker(bus, 'w2', 1);
    await taker.told.have(1);
    expect(taker.told.all[0]!.deliveries).to.equal(2);
    gate.open();
    relay.thaw();
    await ends.have(1);
    await Promise.all([late.stop(), taker.stop()]);
    expect([late.names.length, taker.names.length]).to.deep.equal([1, 1]);
  });

  it('a leader that nobody hears is none any more before another one leads', async () => {
    const server = await scene.start();
    const { relay, url } = await scene.relay(server);
    const [bus, cut] = [await scene.open(server.url), await scene.open(url)];
    const [told, ending] = [new Told<string>(), new AbortController()];
    const lead = leading(told);
    const campaigns = [cut.roster.campaign('a', lead('a'), ending.signal)];
    await told.have(1);
    campaigns.push(bus.roster.campaign('b', lead('b'), ending.signal));
    relay.freeze();
    await told.have(3);
    expect(told.all).to.deep.equal(['a leads', 'a is led', 'b leads']);
    relay.thaw();
    ending.abort();
    await Promise.all(campaigns);
  });

  it('a worker whose machine broke comes back under its name when its time is over', async () => {
    const server = await scene.start();
    const { relay, url } = await scene.relay(server);
    const dead = await scene.open(url);
    await dead.roster.enter(workerOf('a'));
    relay.freeze();
    const bus = await scene.open(server.url);
    await (await bus.roster.enter(workerOf('a', { pid: 4712 }))).leave();
    relay.thaw();
  });

  it('more than a message may hold is refused with both numbers', async () => {
    const { bus } = await opened();
    const refused = await errorOf(JobError, () => bus.records.write('run.a', 'x'.repeat(2_000_000), 0));
    expect(refused.message).to.equal(
      'TOO_MANY: the record run.a has 2000000 bytes, and NATS takes 1047552; make it smaller, or raise max_payload of nats-server',
    );
  });

  it('a store that is full is told, and so is a server on which jobs have no room', async () => {
    const { server, bus } = await opened();
    const admin = await connect({ servers: server.url });
    await (await jetstreamManager(admin)).streams.update('OBJ_expertwire_test_files', { max_bytes: 1_000_000 });
    await admin.close();
    const refused = await errorOf(JobError, () => bus.blobs.put('r1/a', bytesOf(3_000_000)));
    expect(refused.message).to.match(
      /^BUS_FAILED: NATS at .* has no space for the file r1\/a \(.*\); make space there, or raise its limits$/,
    );
    await bus.blobs.put('r1/b', bytesOf(500_000));
    const small = await scene.start({ config: 'jetstream { max_file_store: 10MB }', hasJetStream: false });
    const none = await errorOf(JobError, () => scene.open(small.url));
    expect(none.message).to.match(/^BUS_FAILED: NATS at .* has no space for its streams of jobs \(/);
  });
});
