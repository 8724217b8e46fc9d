import { expect } from 'chai';
import { inspect } from 'node:util';
import {
  asRank,
  CommError,
  createCollectives,
  joinHead,
  remoteErrorOf,
  Rendezvous,
  type ControlMessage,
  type JoinedRank,
  type JoinOptions,
  type RendezvousOptions,
} from '../../../comm/index.js';
import { decodeMessage, encodeMessage } from '../../../comm/job/messages.js';
import { randomOf } from '../../kit/comm/all_to_all.js';
import { rejection, thrown } from '../../kit/errors.js';

const FINGERPRINT = 'abcdef012345'.repeat(5);
const HOST = '127.0.0.1';

/** What a rank of an upper layer says of itself. */
const NO_FOLDER = { code: 'MODEL_NOT_FOUND', reason: 'no such folder', advice: 'look for it', blames: [] };

describe('a rendezvous', () => {
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((owner) => owner.close()));
  });

  async function keep<T extends { close(): Promise<void> }>(owner: Promise<T>): Promise<T> {
    const opened = await owner;
    open.push(opened);
    return opened;
  }
  const listen = (options: Partial<RendezvousOptions> = {}): Promise<Rendezvous> =>
    keep(Rendezvous.listen({ host: HOST, port: 0, secret: 's', size: 2, job: {}, timeoutMs: 5000, ...options }));
  const join = (head: { port: number }, options: Partial<JoinOptions> = {}): Promise<JoinedRank> =>
    keep(joinHead({ head: { host: HOST, port: head.port }, secret: 's', timeoutMs: 5000, ...options }));

  for (const size of [1, 2, 4]) {
    it(`brings ${size} ranks together: numbers, job, mesh, control links`, async () => {
      const news: string[] = [];
      const head = await listen({
        size,
        job: { model: 'm', ids: new Int32Array([1, 2]) },
        onJoined: (rank, numJoined) => news.push(`${rank} joined as number ${numJoined}`),
        onProgress: (rank, { what, fraction }) => news.push(`${rank} ${what} ${fraction}`),
      });
      const ranks: JoinedRank[] = [];
      for (let rank = 0; rank < size; rank++) ranks.push(await join(head));
      expect(ranks.map(({ rank }) => rank)).to.deep.equal([...ranks.keys()]);
      for (const rank of ranks) {
        expect([rank.size, rank.localAddress, rank.job]).to.deep.equal([
          size,
          HOST,
          { model: 'm', ids: new Int32Array([1, 2]) },
        ]);
      }
      ranks[0]!.progress('weights', 0.5);
      const [meshes, links] = await Promise.all([
        Promise.all(ranks.map((rank) => keep(rank.ready(FINGERPRINT)))),
        head.links(),
      ]);
      expect(news)
        .to.include('0 weights 0.5')
        .and.include(`${size - 1} joined as number ${size}`);
      await Promise.all(meshes.map((mesh) => createCollectives(mesh).barrier()));
      for (const [rank, link] of links.entries()) {
        const back = link.receive({ timeoutMs: 5000 });
        ranks[rank]!.link.onMessage((message) => ranks[rank]!.link.send(message));
        link.send({ type: 'job', body: { rank, x: Float32Array.of(1.5, rank) } });
        expect(await back).to.deep.equal({ type: 'job', body: { rank, x: Float32Array.of(1.5, rank) } });
      }
    });
  }

  it('settles what ranks offer once all have, and not before, in the order of ranks', async () => {
    const asked: (readonly unknown[])[] = [];
    const agree = (offers: readonly unknown[]): unknown => {
      asked.push(offers);
      return { least: Math.min(...(offers as number[])) };
    };
    const head = await listen({ size: 3, agree });
    const [third, first] = [await join(head, { rank: asRank(2) }), await join(head, { rank: asRank(0) })];
    const early = [third.agree(7, { timeoutMs: 5000 }), first.agree(5, { timeoutMs: 5000 })];
    const second = await join(head);
    expect(asked).to.deep.equal([]);
    const agreed = await Promise.all([...early, second.agree(6, { timeoutMs: 5000 })]);
    expect(agreed).to.deep.equal([{ least: 5 }, { least: 5 }, { least: 5 }]);
    expect(asked).to.deep.equal([[5, 6, 7]]);
  });

  it('ends the wait for what ranks agree on where one fails, and takes no second offer', async () => {
    const head = await listen();
    const [first, other] = [await join(head), await join(head)];
    const waiting = rejection(first.agree(1, { timeoutMs: 5000 }), 'PEER_FAILED');
    other.link.send({ type: 'failed', error: { code: 'OTHER', reason: 'it is odd', advice: 'mend it', blames: [] } });
    expect((await waiting).message).to.contain('it is odd');
    const strict = await listen();
    const rank = await join(strict);
    const told = rejection(rank.agree(1, { timeoutMs: 5000 }), 'PROTOCOL');
    rank.link.send({ type: 'offer', body: 2 });
    expect((await rejection(strict.links(), 'PROTOCOL')).message).to.contain("rank 0 sent 'offer'");
    await told;
  });

  it('ends where what a rank offers makes no sense, and tells every rank', async () => {
    const message = 'rank 1 offers nothing; run the same build everywhere';
    const agree = (): never => {
      throw new CommError('PROTOCOL', message, { rank: asRank(1) });
    };
    const head = await listen({ agree });
    const ranks = [await join(head), await join(head)];
    const told = ranks.map((rank) => rejection(rank.agree(undefined, { timeoutMs: 5000 }), 'PROTOCOL'));
    expect((await rejection(head.links(), 'PROTOCOL')).message).to.contain(message);
    for (const { message: text } of await Promise.all(told)) expect(text).to.contain('rank 1 offers nothing');
  });

  it('tells who waits for what others offer apart from who loads', async () => {
    const head = await listen({ size: 3, timeoutMs: 1500 });
    const [first] = [await join(head), await join(head)];
    const told = rejection(first.agree(1, { timeoutMs: 5000 }), 'TIMEOUT');
    const { message } = await rejection(head.links(), 'TIMEOUT');
    expect(message).to.contain('(not joined: rank 2, loading: rank 1, waiting for the others: rank 0)');
    await told;
  });

  it('gives a rank the number that it asks for, and others the lowest free one', async () => {
    const head = await listen({ size: 3 });
    const numbers = [await join(head, { rank: asRank(1) }), await join(head), await join(head)].map(({ rank }) => rank);
    expect(numbers).to.deep.equal([1, 0, 2]);
  });

  it('keeps reserved numbers for those who ask for them, however early the others come', async () => {
    const head = await listen({ size: 3, numReserved: 2 });
    expect((await join(head)).rank).to.equal(2);
    const error = await rejection(join(head), 'INVALID_ARGUMENT');
    expect(error.message).to.include('waits only for ranks that the head starts');
    expect((await join(head, { rank: asRank(0) })).rank).to.equal(0);
  });

  it('refuses a number twice, a number too high, and more ranks than the job has', async () => {
    const head = await listen({ size: 2 });
    await join(head, { rank: asRank(1) });
    expect((await rejection(join(head, { rank: asRank(1) }), 'INVALID_ARGUMENT')).message).to.contain(
      'rank 1 has joined',
    );
    expect((await rejection(join(head, { rank: asRank(2) }), 'INVALID_ARGUMENT')).message).to.contain('2 ranks');
    await join(head);
    expect((await rejection(join(head), 'INVALID_ARGUMENT')).message).to.contain('already has its 2 ranks');
  });

  it('says ADDRESS_IN_USE with host, port and what to do', async () => {
    const head = await listen();
    const error = await rejection(listen({ port: head.port }), 'ADDRESS_IN_USE');
    expect(error.message).to.contain(`${HOST}:${head.port}`).and.contain('choose another port');
  });

  it('tells a rank with another secret AUTH_FAILED and goes on', async () => {
    const head = await listen({ size: 1 });
    await rejection(join(head, { secret: 'guess' }), 'AUTH_FAILED');
    expect((await join(head)).rank).to.equal(0);
  });

  it('lets ranks start before the head', async () => {
    const probe = await listen();
    const { port } = probe;
    await probe.close();
    const early = join({ port });
    await rejection(join({ port }, { timeoutMs: 150 }), 'UNREACHABLE');
    await listen({ port, size: 1 });
    expect((await early).rank).to.equal(0);
  });

  it('says UNREACHABLE with the address when no head comes, and ABORTED when the caller gives up', async () => {
    const probe = await listen();
    await probe.close();
    const error = await rejection(join(probe, { timeoutMs: 120 }), 'UNREACHABLE');
    expect(error.message).to.contain(`${HOST}:${probe.port}`);
    const abort = new AbortController();
    const told = rejection(join(probe, { signal: abort.signal }), 'ABORTED');
    abort.abort();
    await told;
  });

  it('stops a job whose ranks loaded different checkpoints, naming ranks and fingerprints on all sides', async () => {
    const head = await listen({ size: 3 });
    const ranks = [await join(head), await join(head), await join(head)];
    const other = 'fedcba543210'.repeat(5);
    const told = ranks.map((rank, i) => rejection(rank.ready(i === 1 ? other : FINGERPRINT), 'FINGERPRINT_MISMATCH'));
    const error = await rejection(head.links(), 'FINGERPRINT_MISMATCH', { rank: asRank(1) });
    for (const { message } of [error, ...(await Promise.all(told))]) {
      for (const part of ['rank 1', 'rank 0', 'abcdef012345', 'fedcba543210', 'same model folder']) {
        expect(message).to.contain(part);
      }
      expect(message).to.not.contain('abcdef0123456');
    }
  });

  it('stops a job in which some ranks advertise a loopback address and others do not', async () => {
    const head = await listen({ size: 2 });
    const ranks = [await join(head), await join(head, { advertise: '10.9.8.7' })];
    const told = ranks.map((rank) => rejection(rank.ready(FINGERPRINT), 'UNREACHABLE'));
    await rejection(head.links(), 'UNREACHABLE', { rank: asRank(0) });
    await Promise.all(told);
  });

  it('names a rank that leaves before the job started, to the head and to those who wait', async () => {
    const head = await listen({ size: 2 });
    const [a, b] = [await join(head), await join(head)];
    const told = rejection(a.ready(FINGERPRINT), 'PEER_LOST');
    await b.close();
    await rejection(head.links(), 'PEER_LOST', { rank: asRank(1), phase: 'join' });
    expect((await told).message).to.contain('rank 1');
  });

  it('shows its secret to nobody who looks at a head or a rank', async () => {
    const secret = 'a secret of this test';
    const head = await listen({ size: 1, secret });
    const rank = await join(head, { secret });
    const mesh = await keep(rank.ready(FINGERPRINT));
    for (const held of [head, rank, mesh]) expect(inspect(held, { depth: 12 })).not.to.contain(secret);
  });

  it('blames the rank that vanished, not the witness that says so first', async () => {
    const head = await listen({ size: 2 });
    const [witness, gone] = [await join(head), await join(head)];
    const lost = new CommError('PEER_LOST', 'rank 1 was lost while rank 0 linked up; look at its log', {
      rank: asRank(1),
    });
    witness.link.send({ type: 'failed', error: remoteErrorOf(lost) });
    void witness.close();
    setTimeout(() => void gone.close(), 50);
    const error = await rejection(head.links(), 'PEER_LOST', { rank: asRank(1), phase: 'join' });
    expect(error.message).to.match(/^PEER_LOST: rank 1 left before the job started/);
  });

  it('where only a witness speaks, names whom it blames first, then the witness', async () => {
    const head = await listen({ size: 2 });
    const [witness] = [await join(head), await join(head)];
    const text = "rank 0 can't link to rank 1: nobody listens; open the port";
    const unreachable = new CommError('UNREACHABLE', text, { rank: asRank(1) });
    witness.link.send({ type: 'failed', error: remoteErrorOf(unreachable) });
    const error = await rejection(head.links(), 'UNREACHABLE', { rank: asRank(1) });
    expect(error.message).to.equal(
      "UNREACHABLE: rank 0 can't link to rank 1: nobody listens, says rank 0 before the job started; open the port",
    );
  });

  it('passes on what a rank of an upper layer failed with: PEER_FAILED', async () => {
    const head = await listen({ size: 1 });
    const rank = await join(head);
    rank.link.send({ type: 'failed', error: NO_FOLDER });
    const error = await rejection(head.links(), 'PEER_FAILED', { rank: asRank(0), phase: 'join' });
    expect(error.message).to.contain('rank 0 failed before the job started: ').and.contain('MODEL_NOT_FOUND');
  });

  it('passes it on as it came, with the machine where it happened', async () => {
    const head = await listen({ size: 1 });
    const rank = await join(head);
    const remote = { code: 'OUT_OF_MEMORY', reason: 'too much', advice: 'take more ranks', blames: [], host: 'node07' };
    rank.link.send({ type: 'failed', error: remote });
    expect((await rejection(head.links(), 'PEER_FAILED')).remote).to.deep.equal(remote);
  });

  it('tells a rank that comes too late why the job never began', async () => {
    const refused: Error[] = [];
    const head = await listen({ size: 2, onRefused: (error) => void refused.push(error) });
    const rank = await join(head);
    rank.link.send({ type: 'failed', error: NO_FOLDER });
    await rejection(head.links(), 'PEER_FAILED');
    const error = await rejection(join(head), 'PEER_FAILED');
    expect(error.message).to.contain('rank 0 failed before the job started: MODEL_NOT_FOUND');
    expect(refused).to.deep.equal([]);
  });

  it('names the ranks that never come: TIMEOUT', async () => {
    const head = await listen({ size: 3, timeoutMs: 400 });
    await join(head, { rank: asRank(1) });
    const error = await rejection(head.links(), 'TIMEOUT', { phase: 'join', waitedMs: 400 });
    expect(error.message).to.contain('1 of 3 ranks joined');
  });

  it('ends by its abort signal and by close', async () => {
    const abort = new AbortController();
    const head = await listen({ signal: abort.signal });
    abort.abort();
    await rejection(head.links(), 'ABORTED');
    const second = await listen();
    await second.close();
    await rejection(second.links(), 'CLOSED');
  });

  it('tells a waiting rank when the head goes away', async () => {
    const head = await listen({ size: 2 });
    const rank = await join(head);
    const told = rejection(rank.ready(FINGERPRINT), 'CLOSED');
    await head.close();
    await told;
    expect(rank.link.isOpen).to.equal(false);
  });
});

describe('a control message', () => {
  const messages: ControlMessage[] = [
    { type: 'join' },
    { type: 'join', rank: 3 },
    { type: 'welcome', rank: 0, size: 2, job: { any: ['thing', 1, null] } },
    { type: 'offer', body: { canFuse: true } },
    { type: 'agreed', body: null },
    { type: 'ready', fingerprint: 'f', host: 'h', port: 1 },
    { type: 'peers', addresses: [{ host: 'h', port: 2 }], fingerprint: 'f', jobId: 'j' },
    { type: 'meshed' },
    { type: 'progress', what: 'weights', fraction: 0.25 },
    { type: 'job', body: { tokens: new Int32Array([1, -2]), x: Float32Array.of(0.5) } },
    { type: 'failed', error: { ...NO_FOLDER, blames: [1], rank: 1, layer: 2, phase: 'combine', host: 'h' } },
    { type: 'shutdown', reason: 'done' },
  ];

  for (const message of messages) {
    it(`'${message.type}' comes back as it was`, () =>
      expect(decodeMessage(encodeMessage(message))).to.deep.equal(message));
  }

  it('of an unknown type, of a wrong shape or of random bytes is a PROTOCOL error or a message, never a crash', () => {
    const random = randomOf(5);
    for (const wrong of [null, 7, {}, { type: 'other' }, { type: 'welcome', rank: -1 }, { type: 'ready', port: 'x' }]) {
      thrown(() => decodeMessage(encodeMessage(wrong as unknown as ControlMessage)), 'PROTOCOL');
    }
    for (let run = 0; run < 3000; run++) {
      const bytes = Uint8Array.from(encodeMessage(messages[run % messages.length]!));
      for (let i = 0; i <= run % 3; i++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      try {
        expect(
          decodeMessage(bytes.subarray(0, run % 2 === 0 ? bytes.length : Math.floor(random() * bytes.length))),
        ).to.have.property('type');
      } catch (error) {
        expect(error).to.have.property('code', 'PROTOCOL');
      }
    }
  });
});
