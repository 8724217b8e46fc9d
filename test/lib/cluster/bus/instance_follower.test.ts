import { expect } from 'chai';
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ClusterError } from '../../../../lib/cluster/base/errors.js';
import { InstanceFollower, type FollowOptions } from '../../../../lib/cluster/bus/instance_follower.js';
import { LocalBus } from '../../../../lib/cluster/bus/local_bus.js';
import { loadOf, recordOf, Watcher } from '../../../kit/cluster/members.js';
import { PlayedHttp, ToldInstance } from '../../../kit/cluster/told_instance.js';

/** Longer than a machine that does much else holds up a heartbeat of 5 ms. */
const PATIENT_MS = 20_000;

describe('following an instance over HTTP', () => {
  let bus: LocalBus;
  let watcher: Watcher;
  let ends: (() => Promise<void>)[];
  beforeEach(() => {
    bus = new LocalBus();
    watcher = new Watcher(bus);
    ends = [];
  });
  afterEach(async () => {
    for (const end of ends.reverse()) await end();
  });

  const started = async (...given: Parameters<typeof ToldInstance.start>): Promise<ToldInstance> => {
    const instance = await ToldInstance.start(...given);
    ends.push(() => instance.kill());
    return instance;
  };
  const listening = async (...given: Parameters<typeof PlayedHttp.listen>): Promise<PlayedHttp> => {
    const http = await PlayedHttp.listen(...given);
    ends.push(() => http.kill());
    return http;
  };

  /** What its user is told, and how it is closed. */
  const follow = (url: string, others: Partial<FollowOptions> = {}): { troubles: (ClusterError | null)[] } => {
    const troubles: (ClusterError | null)[] = [];
    const keys = { clusterKey: null, apiKey: 'api-key' };
    const onTrouble = (error: ClusterError | null): void => void troubles.push(error);
    const follower = new InstanceFollower(bus, {
      id: 'x',
      url,
      ...keys,
      ttlMs: PATIENT_MS,
      retryMs: 2,
      onTrouble,
      ...others,
    });
    ends.push(() => follower.close());
    return { troubles };
  };

  it('ends whenever it is to, also long after the head of the answer was forgotten', async () => {
    const instance = await started({ id: 'a' });
    instance.engine.store(1, 2);
    const { url } = instance.http;
    const follower = new InstanceFollower(bus, { id: 'x', url, clusterKey: null, apiKey: null });
    await watcher.knows('a', 1, 2);
    setFlagsFromString('--expose-gc');
    for (let i = 0; i < 4; i++) {
      await new Promise(setImmediate);
      (runInNewContext('gc') as () => void)();
    }
    await follower.close();
  });

  it('a bus hears all that the instance tells, at the address at which it is followed', async () => {
    const instance = await started({ id: 'a' });
    instance.engine.store(1, 2);
    follow(instance.http.url);
    await watcher.knows('a', 1, 2);
    expect(watcher.events.some(({ kind }) => kind === 'load')).to.equal(true);
    instance.engine.remove(1);
    instance.engine.store(3);
    await watcher.knows('a', 2, 3);
    instance.teller.update({ role: 'decode', isDraining: true });
    await watcher.hears('a is decode as a 1');
    const [first] = watcher.events;
    expect(first).to.deep.include({ kind: 'instance', record: recordOf('a', { url: instance.http.url }) });
  });

  it('is asked once, and once more where somebody else watches later, who is told everything too', async () => {
    const instance = await started({ id: 'a' });
    instance.engine.store(1);
    const other = new Watcher(bus);
    follow(instance.http.url, { retryMs: PATIENT_MS });
    for (const each of [watcher, other]) await each.knows('a', 1);
    expect(instance.http.asked).to.have.lengthOf(1);
    const late = new Watcher(bus);
    await late.knows('a', 1);
    expect(late.events.some(({ kind }) => kind === 'load')).to.equal(true);
    instance.engine.store(2);
    for (const each of [watcher, other, late]) await each.knows('a', 1, 2);
    expect(instance.http.asked).to.have.lengthOf(2);
    expect(watcher.standing).to.deep.equal(['a is mixed as a 1']);
  });

  it('an instance that leaves is gone, and so is one that is killed, as soon as nobody listens there', async () => {
    const [leaving, killed] = [await started({ id: 'a' }), await started({ id: 'b' })];
    for (const { http } of [leaving, killed]) follow(http.url);
    await Promise.all(['a', 'b'].map((id) => watcher.knows(id)));
    await leaving.end();
    await killed.http.kill();
    await watcher.hears('a is gone: left');
    await watcher.hears('b is gone: silent');
  });

  it('one that comes again at the same address is followed again, with another index', async () => {
    const before = await started({ id: 'a' });
    before.engine.store(1);
    follow(before.http.url);
    await watcher.knows('a', 1);
    await before.kill();
    const after = await started({ id: 'a', incarnation: 'a 2' }, { port: before.http.port });
    after.engine.store(7);
    await watcher.hears('a is mixed as a 2');
    await watcher.knows('a', 7);
  });

  it('one that begins later than its router is found', async () => {
    const before = await PlayedHttp.listen(() => undefined);
    const { port, url } = before;
    await before.kill();
    const { troubles } = follow(url);
    while (troubles.length === 0) await new Promise(setImmediate);
    expect(troubles[0]?.message).to.match(
      /^INSTANCE_LOST: instance x at .* can't be followed \(connect ECONNREFUSED .*\); it is tried again$/,
    );
    await started({ id: 'a' }, { port });
    await watcher.hears('a is mixed as a 1');
    expect(troubles.at(-1)).to.equal(null);
  });

  it('one that says nothing any more is gone after its time, and heard again when it speaks', async () => {
    let speak!: () => void;
    const http = await listening((_request, response) => {
      response.writeHead(200);
      const say = () => response.write(`event: record\ndata: ${JSON.stringify(recordOf('a'))}\n\n`);
      say();
      speak = say;
    });
    follow(http.url, { ttlMs: 50 });
    await watcher.hears('a is gone: silent');
    speak();
    await watcher.until(() => watcher.standing.length >= 3);
    expect(watcher.standing.slice(0, 3)).to.deep.equal(['a is mixed as a 1', 'a is gone: silent', 'a is mixed as a 1']);
  });

  it('who falls behind is dropped, and knows everything when it comes again', async () => {
    const instance = await started({ id: 'a' }, { maxBehindBytes: 300 });
    follow(instance.http.url);
    await watcher.knows('a');
    const numbers = Array.from({ length: 100 }, (_, i) => i);
    for (const number of numbers) {
      instance.engine.store(number);
      instance.events.publish({ instance: 'a', incarnation: 'a 1', sequence: 0, events: [] }); // more than it reads
    }
    await watcher.knows('a', ...numbers);
  });

  it('what can’t be is named, and what comes behind it is heard', async () => {
    const wrongs = [
      'event: load\ndata: {"instance":"a"}',
      `event: load\ndata: ${JSON.stringify(loadOf('a', -1))}`,
      'event: blocks\ndata: nonsense',
    ];
    const http = await listening((_request, response) => {
      response.writeHead(200);
      response.write(`event: record\ndata: ${JSON.stringify(recordOf('a'))}\n\n`);
      const wrong = wrongs.shift();
      if (wrong === undefined)
        response.write(`event: later\ndata: {}\n\nevent: load\ndata: ${JSON.stringify(loadOf('a', 5))}\n\n`);
      else response.write(`${wrong}\n\n`);
    });
    const { troubles } = follow(http.url);
    await watcher.hears('a has load 5');
    const words = troubles.map((error) => error?.message.replace(http.url, 'URL') ?? 'none');
    const advice = 'another version may speak there';
    expect(words.filter((word) => word !== 'none')).to.deep.equal([
      `INVALID_RECORD: instance URL sent a load report that can't be: incarnation: Invalid input: expected string, received undefined; ${advice}`,
      `INVALID_RECORD: instance URL sent a load report that can't be: sequence: Too small: expected number to be >=0; ${advice}`,
      `INVALID_RECORD: instance URL sent what is no JSON: nonsense; ${advice}`,
    ]);
    expect(words.at(-1)).to.equal('none');
  });

  it('a server of others is known by its models, and never sees the cluster’s key', async () => {
    const http = await listening(({ url }, response) => {
      if (url !== '/v1/models') return void response.writeHead(404).end();
      response.end(JSON.stringify({ object: 'list', data: [{ id: 'llama', max_model_len: 4096 }] }));
    });
    follow(http.url, { clusterKey: 'cluster-key' });
    await watcher.hears('x is mixed as foreign');
    expect(watcher.events[0]).to.deep.include({ kind: 'instance' });
    const { record } = watcher.events[0] as { record: object };
    expect(record).to.include({ kind: 'foreign', model: 'llama', maxModelLen: 4096, url: http.url, sharing: null });
    expect(http.asked).to.deep.equal(['/cluster/events without a key', '/v1/models Bearer api-key']);
    await http.kill();
    await watcher.hears('x is gone: silent');
  });

  it('a server of others whose key is for all paths gets its own, and never the cluster’s', async () => {
    for (const status of [401, 403]) {
      const http = await listening(({ url, headers }, response) => {
        const isKnown = headers.authorization === 'Bearer api-key';
        if (!isKnown) return void response.writeHead(status).end('{"error":{"code":"invalid_api_key"}}');
        response.end(url === '/v1/models' ? JSON.stringify({ data: [{ id: 'llama' }] }) : '');
      });
      follow(http.url, { id: `x${status}` });
      await watcher.hears(`x${status} is mixed as foreign`);
      expect(http.asked).to.deep.equal(['/cluster/events without a key', '/v1/models Bearer api-key']);
    }
  });

  it('an instance that asks for the cluster’s key gets it, and one that wants another is named', async () => {
    const [right, wrong] = [
      await started({ id: 'a' }, { key: 'cluster-key' }),
      await started({ id: 'b' }, { key: 'other' }),
    ];
    follow(right.http.url, { clusterKey: 'cluster-key' });
    await watcher.hears('a is mixed as a 1');
    expect(right.http.asked).to.deep.equal(['/cluster/events without a key', '/cluster/events Bearer cluster-key']);
    const { troubles } = follow(wrong.http.url, { id: 'b', clusterKey: 'cluster-key' });
    while (wrong.http.asked.length < 2) await once(wrong.http.server, 'request');
    expect(troubles.map((error) => error?.message)).to.deep.equal([
      `INSTANCE_LOST: instance b at ${wrong.http.url} answers 403; it is of a cluster: give its key (EXPERTWIRE_CLUSTER_KEY)`,
    ]);
    expect(wrong.http.asked.filter((asked) => asked.includes('Bearer'))).to.deep.equal([]);
  });

  for (const status of [401, 403]) {
    it(`a server of others that answers ${status} to all who have no key of its own never sees the cluster’s`, async () => {
      const http = await listening(({ url, headers }, response) => {
        if (headers.authorization !== 'Bearer api-key') return void response.writeHead(status).end();
        if (url !== '/v1/models') return void response.writeHead(404).end();
        response.end(JSON.stringify({ object: 'list', data: [{ id: 'llama' }] }));
      });
      follow(http.url, { clusterKey: 'cluster-key' });
      await watcher.hears('x is mixed as foreign');
      expect(http.asked).to.deep.equal(['/cluster/events without a key', '/v1/models Bearer api-key']);
    });
  }

  for (const proof of [undefined, '0'.repeat(64)]) {
    it(`who tells as an instance of ours and proves ${proof === undefined ? 'nothing' : 'it wrongly'} is none, and sees no key`, async () => {
      const http = await listening((_request, response) => {
        if (proof !== undefined) response.setHeader('x-expertwire-proof', proof);
        response.writeHead(200).write(`event: record\ndata: ${JSON.stringify(recordOf('a'))}\n\n`);
      });
      const { troubles } = follow(http.url, { clusterKey: 'cluster-key' });
      while (http.asked.length < 2) await once(http.server, 'request');
      expect(troubles.map((error) => error?.text)).to.deep.equal([
        `instance x at ${http.url} doesn't have the key of this cluster; start it with the same one (EXPERTWIRE_CLUSTER_KEY)`,
      ]);
      expect(watcher.events).to.deep.equal([]);
      expect(http.asked.filter((asked) => asked.includes('Bearer'))).to.deep.equal([]);
    });
  }
});
