/** The bus over a real nats-server: what every bus does, and what befalls servers, networks and peers. */
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { Kvm } from '@nats-io/kv';
import { expect } from 'chai';
import { join } from 'node:path';
import { ClusterError } from '../../lib/cluster/base/errors.js';
import type { InstanceRecord } from '../../lib/cluster/base/instance_record.js';
import type { Bus } from '../../lib/cluster/bus/bus.js';
import { openNatsBus } from '../../lib/cluster/bus/nats/nats_bus.js';
import { CLUSTER_DEFAULTS } from '../../lib/config/cluster_schema.js';
import { busContract } from '../contracts/bus_contract.js';
import { loadOf, Member, recordOf, Watcher } from '../kit/cluster/members.js';
import { natsServer, NatsServer, type NatsServerOptions } from '../kit/cluster/nats_server.js';
import { TcpRelay } from '../kit/cluster/tcp_relay.js';
import { nkeyUser, signedUser } from '../kit/cluster/nats_users.js';
import { writeCertificates } from '../kit/comm/certificates.js';
import { errorOf } from '../kit/rejects.js';
import { MovingEngine } from '../kit/server/moving_engine.js';
import { playText } from '../kit/server/played_engine.js';
import { servedApp } from '../kit/server/served_app.js';
import { withTempFolder } from '../kit/temp_folder.js';

/** Of one cluster after the other. */
let numClusters = 0;

const settings = (bus: string, others: object = {}): typeof CLUSTER_DEFAULTS => ({
  ...{ ...CLUSTER_DEFAULTS, bus, name: `test-${numClusters}`, heartbeat_ms: 100, ttl_ms: 2000, ...others },
});

describe('NATS', function () {
  before(async function () {
    if ((await natsServer()) === null) this.skip();
  });

  /** Closed behind each test, the last one first. */
  let closers: (() => Promise<void>)[];
  beforeEach(() => {
    closers = [];
    numClusters++;
  });
  afterEach(async () => {
    for (const close of closers.reverse()) await close();
  });

  const started = async (options: NatsServerOptions = {}): Promise<NatsServer> => {
    const server = await NatsServer.start(options);
    closers.push(() => server.close());
    return server;
  };
  const opened = async (bus: string, others: object = {}, env: Record<string, string> = {}): Promise<Bus> => {
    const connection = await openNatsBus(settings(bus, others), env);
    closers.push(() => connection.close());
    return connection;
  };
  const relayed = async ({ port }: NatsServer): Promise<{ relay: TcpRelay; url: string }> => {
    const relay = await TcpRelay.open(port);
    closers.push(() => relay.close());
    return { relay, url: `nats://127.0.0.1:${relay.port}` };
  };

  busContract('NATS', async () => {
    const server = await started();
    return { connect: () => opened(server.url), close: () => Promise.resolve() };
  });

  describe('when a server is killed', () => {
    it('what is known stays in force, and when it is there again, with nothing in memory, all is told anew', async () => {
      const server = await started();
      const a = await Member.join(await opened(server.url), recordOf('a'));
      const routers = [new Watcher(await opened(server.url)), new Watcher(await opened(server.url))];
      a.store(1);
      for (const router of routers) await router.knows('a', 1);
      await server.kill();
      for (const router of routers) await router.hears('bus is down');
      a.store(2); // told to nobody
      await server.restart();
      for (const router of routers) {
        await router.hears('bus is up');
        await router.knows('a', 1, 2);
        expect(router.standing).to.deep.equal(['a is mixed as a 1']);
      }
      a.store(3);
      for (const router of routers) await router.knows('a', 1, 2, 3);
    });

    it('who isn’t there any more when it is there again is gone after its time', async () => {
      const server = await started();
      const dying = await openNatsBus(settings(server.url));
      await Member.join(dying, recordOf('a'));
      await Member.join(await opened(server.url), recordOf('b'));
      const router = new Watcher(await opened(server.url));
      for (const id of ['a', 'b']) await router.knows(id);
      await server.kill();
      await router.hears('bus is down');
      await dying.close(); // can say nothing
      await server.restart();
      await router.hears('a is gone: silent');
      expect(router.standing).to.include('b is mixed as b 1').and.not.include('b is gone: silent');
    });
  });

  describe('when the network passes nothing on', () => {
    it('a router goes on by what it knows, and learns what changed', async () => {
      const server = await started();
      const { relay, url } = await relayed(server);
      const a = await Member.join(await opened(server.url), recordOf('a'));
      const router = new Watcher(await opened(url));
      await router.knows('a');
      relay.freeze();
      a.store(1);
      await router.hears('bus is down');
      const b = await Member.join(await opened(server.url), recordOf('b'));
      b.store(2);
      relay.thaw();
      await router.hears('bus is up');
      await router.knows('a', 1);
      await router.knows('b', 2);
      expect(router.standing).to.deep.equal(['a is mixed as a 1', 'b is mixed as b 1']);
    });

    it('an instance that nobody hears is gone for routers, and comes back by itself', async () => {
      const server = await started();
      const { relay, url } = await relayed(server);
      const a = await Member.join(await opened(url), recordOf('a'));
      const router = new Watcher(await opened(server.url));
      await router.knows('a');
      relay.freeze();
      await router.hears('a is gone: silent');
      a.store(1);
      relay.thaw();
      await router.knows('a', 1);
      expect(router.standing).to.deep.equal(['a is mixed as a 1', 'a is gone: silent', 'a is mixed as a 1']);
      const troubles = a.troubles.map((error) => error?.message.replace(/:\d+/g, '') ?? null);
      expect(troubles, 'it knows').to.deep.equal([
        'BUS_FAILED: the connection to 127.0.0.1 broke, and so no router hears of this instance; they go on by what they know',
        null,
      ]);
    });

    it('a router that reads too slowly is dropped by the server, and knows all when it is back', async () => {
      const server = await started({ config: 'max_pending: 1048576\nwrite_deadline: "100ms"' });
      const { relay, url } = await relayed(server);
      const a = await Member.join(await opened(server.url), recordOf('a'));
      const router = new Watcher(await opened(url, { ttl_ms: 60_000 })); // it doesn't notice by itself
      await router.knows('a');
      relay.freeze();
      const flood = await connect({ servers: server.url });
      closers.push(() => flood.close());
      const subject = `expertwire.test-${numClusters}.load.flood`;
      for (let i = 0; i < 400; i++) flood.publish(subject, new Uint8Array(100_000)); // 40 MB, more than sockets hold
      a.store(1);
      await server.says(/Slow Consumer Detected/);
      a.store(2);
      relay.thaw();
      await router.hears('bus is down');
      await router.hears('bus is up');
      await router.knows('a', 1, 2);
    });
  });

  describe('when connections break', () => {
    /** A scene with an instance and a router, one of them behind a relay that breaks what it has after so many pieces; whether it came to that. */
    const scene = async (server: NatsServer, side: 'instance' | 'router', numPieces: number): Promise<boolean> => {
      const { relay, url } = await relayed(server);
      relay.cutAfter(numPieces);
      const others = { name: `cut-${side}-${numPieces}`, ttl_ms: 20_000 };
      const [near, far] = side === 'instance' ? [url, server.url] : [server.url, url];
      const [instances, routers] = await Promise.all([opened(near, others), opened(far, others)]);
      const router = new Watcher(routers);
      const a = await joinedAtLast(instances, recordOf('a'));
      a.store(1, 2);
      await router.knows('a', 1, 2);
      a.update({ role: 'decode' });
      a.remove(1);
      a.report(90);
      await router.hears('a is decode as a 1');
      await router.knows('a', 2);
      await router.until(() => router.loadsOf('a').length > 0);
      a.store(3);
      await router.knows('a', 2, 3);
      expect(router.standing)
        .to.deep.equal([...new Set(router.standing)])
        .and.not.include('a is gone: silent');
      return relay.isCut;
    };
    /** A start that a broken connection fails is tried again by whoever starts it. */
    const joinedAtLast = async (bus: Bus, record: InstanceRecord): Promise<Member> => {
      for (;;) {
        try {
          return await Member.join(bus, record);
        } catch (error) {
          if (!(error instanceof ClusterError)) throw error;
        }
      }
    };

    for (const side of ['instance', 'router'] as const) {
      it(`at whichever piece that of the ${side} does, routers come to know everything`, async () => {
        const server = await started();
        const cuts = Array.from({ length: 40 }, (_, i) => scene(server, side, i + 1));
        const numCut = (await Promise.all(cuts)).filter(Boolean).length;
        expect(numCut, 'pieces of the scene').to.be.above(10);
      });
    }
  });

  describe('what peers do', () => {
    let server: NatsServer;
    let raw: NatsConnection;
    beforeEach(async () => {
      server = await started();
      raw = await connect({ servers: server.url });
      closers.push(() => raw.close());
    });
    const prefix = (): string => `expertwire.test-${numClusters}`;
    const bucket = () => new Kvm(raw).open(`expertwire_test-${numClusters}`);

    it('nonsense is named by whose subject or key it is, and dropped', async () => {
      const a = await Member.join(await opened(server.url), recordOf('a'));
      const router = new Watcher(await opened(server.url));
      await router.knows('a');
      raw.publish(`${prefix()}.load.x1`, 'nonsense');
      raw.publish(`${prefix()}.load.x2`, new Uint8Array([0xff, 0xfe, 0x00]));
      raw.publish(`${prefix()}.load.x3`, JSON.stringify(loadOf('a', 99)));
      raw.publish(`${prefix()}.blocks.x4`, '[]');
      raw.publish(
        `${prefix()}.blocks.x5`,
        JSON.stringify({ ...loadOf('x5', 1), events: [{ kind: 'stored', keys: ['z'] }] }),
      );
      await (await bucket()).put('x6', JSON.stringify({ record: recordOf('a') }));
      await (await bucket()).put('x7', 'null');
      await router.until(() => router.story.filter((line) => line.includes('refused')).length === 7);
      const refused = router.story.filter((line) => line.includes('refused'));
      expect(
        refused.map((line) => line.replace(/^(x\d) refused: instance \1 sent /, '$1: ').slice(0, 48)).sort(),
      ).to.deep.equal([
        'x1: what is no JSON: nonsense',
        'x2: what is no JSON: ��\\u0000',
        'x3: what a would have to tell',
        "x4: block events that can't be: Invalid input: e",
        "x5: block events that can't be: events.0.keys.0:",
        'x6: the record of another one, a',
        "x7: a record that can't be: Invalid input: expec",
      ]);
      a.store(1);
      await router.knows('a', 1);
      expect(router.standing).to.deep.equal(['a is mixed as a 1']);
    });

    it('a bucket that somebody removes is made again', async () => {
      const a = await Member.join(await opened(server.url), recordOf('a'));
      const router = new Watcher(await opened(server.url));
      await router.knows('a');
      await (await bucket()).destroy();
      a.update({ role: 'prefill' });
      await router.hears('a is prefill as a 1');
      const late = new Watcher(await opened(server.url));
      await late.hears('a is prefill as a 1');
      expect(a.troubles).to.deep.equal([]);
    });
  });

  describe('who may connect', () => {
    it('a user and password or a token come from the environment, and others are refused at once', async () => {
      const server = await started({ config: 'authorization { users = [ { user: ew, password: "s3cret" } ] }' });
      await opened(server.url, {}, { NATS_USER: 'ew', NATS_PASSWORD: 's3cret' });
      const refused = await errorOf(ClusterError, () =>
        opened(server.url, {}, { NATS_USER: 'ew', NATS_PASSWORD: 'x' }),
      );
      expect(refused.message).to.match(
        /^BUS_FAILED: NATS at nats:\/\/127\.0\.0\.1:\d+ can't be reached \(.*uthorization.*\)/,
      );
      const withToken = await started({ config: 'authorization { token: "t0ken" }' });
      await opened(withToken.url, {}, { NATS_TOKEN: 't0ken' });
    });

    it('files hold a seed or the credentials of a user whom an account signed', () =>
      withTempFolder(async (dir) => {
        const [byKey, bySignature] = [await nkeyUser(dir), await signedUser(dir)];
        const withKey = await started({ config: byKey.config });
        await opened(withKey.url, {}, { NATS_NKEY: byKey.seed });
        const withSignature = await started({ config: bySignature.config });
        const nats = { ...CLUSTER_DEFAULTS.nats, credentials: bySignature.credentials };
        await Member.join(await opened(withSignature.url, { nats }), recordOf('a'));
        const router = new Watcher(await opened(withSignature.url, {}, { NATS_CREDS: bySignature.credentials }));
        await router.hears('a is mixed as a 1');
        const missing = await errorOf(ClusterError, () => opened(withKey.url, {}, { NATS_NKEY: join(dir, 'none') }));
        expect(missing.message).to.match(
          /^BUS_FAILED: the credentials at .*none can't be read; see that they are there$/,
        );
        const wrong = await errorOf(ClusterError, () => opened(withKey.url, {}, { NATS_CREDS: byKey.seed }));
        expect(wrong.message).to.match(/^BUS_FAILED: the file .*user\.nk holds no credentials; see what it is$/);
      }));

    it('over TLS both ends show certificates, and a server of another authority is refused', () =>
      withTempFolder(async (dir) => {
        const [server, own, other] = await Promise.all(
          ['server', 'own', 'other'].map((name) => writeCertificates(dir, name, 'localhost')),
        );
        const config = `tls { cert_file: "${server!.cert}", key_file: "${server!.key}", ca_file: "${own!.ca}", verify: true }`;
        const { port } = await started({ config });
        const tls = (ca: string) => ({ nats: { credentials: null, tls: { cert: own!.cert, key: own!.key, ca } } });
        await Member.join(await opened(`tls://localhost:${port}`, tls(server!.ca)), recordOf('a'));
        const router = new Watcher(await opened(`nats://localhost:${port}`, tls(server!.ca)));
        await router.hears('a is mixed as a 1');
        const strange = settings(`tls://localhost:${port}`, tls(other!.ca));
        const refused = await errorOf(ClusterError, () => openNatsBus(strange, {}, 600));
        expect(refused.message).to.match(/^BUS_FAILED: NATS at tls:.* can't be reached \(.*certificate.*\)/);
      }));

    it('an address that says a password is refused: it would stand in a file that others read', async () => {
      const told = await errorOf(ClusterError, () => opened('nats://ew:s3cret@127.0.0.1:1'));
      expect(told.message).to.match(/^BUS_FAILED: the address of a server of NATS has a user or a password; /);
    });

    it('a server without JetStream, and one that nobody finds, are named', async () => {
      const plain = await started({ hasJetStream: false });
      const lacking = await errorOf(ClusterError, () => opened(plain.url));
      expect(lacking.message).to.equal(
        `BUS_FAILED: NATS at 127.0.0.1:${plain.port} has no JetStream; start it with -js`,
      );
      await plain.kill();
      const nobody = await errorOf(ClusterError, () => openNatsBus(settings(plain.url), {}, 600));
      expect(nobody.message).to.match(
        /^BUS_FAILED: NATS at .* can't be reached \(connection refused\); see that it runs, and cluster\.bus$/,
      );
    });

    it('an instance that may not tell what it has hears so', async () => {
      const config = `authorization { users = [
        { user: ew, password: x, permissions: { publish: { deny: "expertwire.*.load.*" } } }
        { user: router, password: x }
      ] }`;
      const server = await started({ config });
      const a = await Member.join(await opened(server.url, {}, { NATS_USER: 'ew', NATS_PASSWORD: 'x' }), recordOf('a'));
      a.report();
      await a.isTroubled();
      expect(a.troubles[0]?.message).to.match(
        /BUS_FAILED: NATS at .* refuses: Permissions Violation for Publish to "expertwire\..*\.load\.a"/,
      );
    });
  });

  it('a server joins when it listens, tells of its engine, and leaves when it drains', async () => {
    const nats = await started();
    const router = new Watcher(await opened(nats.url));
    const engine = new MovingEngine(playText('Call me'));
    const cluster = { enabled: true, id: 'served', bus: nats.url, name: `test-${numClusters}` };
    const { server } = await servedApp({ engine, base: { cluster, server: { port: 0 } } });
    closers.push(() => server.close());
    const url = await server.listen();
    engine.storedBlocks.add(Buffer.alloc(32, 1).toString('binary'));
    await router.until(() => router.blocksOf('served')?.length === 1);
    expect(router.events[0]).to.deep.include({ kind: 'instance' });
    expect((router.events[0] as { readonly record: object }).record).to.include({ id: 'served', url, role: 'mixed' });
    await server.drain();
    await router.hears('served is gone: left');
  });
});
