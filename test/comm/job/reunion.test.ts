/** Ranks whose head is gone, and a new head at its address. */
import { expect } from 'chai';
import { createCollectives, joinHead, Rendezvous, type JoinedRank, type Mesh } from '../../../comm/index.js';
import { CommError } from '../../../comm/base/errors.js';
import { Reunion } from '../../../comm/job/reunion.js';
import { rejection } from '../../kit/errors.js';

const HOST = '127.0.0.1';
const FINGERPRINT = 'abcdef012345'.repeat(5);
const WAIT = { timeoutMs: 5000 };

/** Ranks of a job, linked to each other, whose head went without a word. */
interface Orphans {
  readonly port: number;
  readonly ranks: readonly JoinedRank[];
  readonly meshes: readonly Mesh[];
}

describe('ranks whose head is gone', () => {
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((owner) => owner.close()));
  });
  async function keep<T extends { close(): Promise<void> }>(owner: Promise<T>): Promise<T> {
    const opened = await owner;
    open.push(opened);
    return opened;
  }

  async function orphans(size: number): Promise<Orphans> {
    const head = await keep(Rendezvous.listen({ host: HOST, port: 0, secret: 's', size, job: {}, ...WAIT }));
    const { port } = head;
    const ranks: JoinedRank[] = [];
    for (let i = 0; i < size; i++)
      ranks.push(await keep(joinHead({ head: { host: HOST, port }, secret: 's', ...WAIT })));
    const meshes = await Promise.all(ranks.map((rank) => keep(rank.ready(FINGERPRINT))));
    await head.close();
    await Promise.all(ranks.map(({ link }) => link.closed));
    return { port, ranks, meshes };
  }

  const reunion = (port: number, check: (rank: number, holds: unknown) => void = () => undefined): Promise<Reunion> =>
    keep(Reunion.listen({ host: HOST, port, secret: 's', size: 3, check }));

  async function all(head: Reunion, count: number): Promise<void> {
    while (head.ranks.length < count) expect(await head.news(5000)).to.equal(true);
  }

  it('come back with what they say of themselves, and with their links to each other', async () => {
    const { port, ranks, meshes } = await orphans(3);
    const back = Promise.all(ranks.map((rank) => rank.comeBack({ held: `by ${rank.rank}` }, WAIT)));
    const head = await reunion(port); // they look for it before it is there
    await back;
    await all(head, 3);
    expect(head.ranks.map(({ rank, holds }) => [rank, holds])).to.deep.equal(
      [0, 1, 2].map((rank) => [rank, { held: `by ${rank}` }]),
    );
    await Promise.all(meshes.map((mesh) => createCollectives(mesh).barrier()));
    head.ranks[1]!.link.send({ type: 'job', body: 'go on' });
    expect(await ranks[1]!.link.receive(WAIT)).to.deep.equal({ type: 'job', body: 'go on' });
  });

  it('may come back again, where the head could not keep them, and are missed where they go', async () => {
    const { port, ranks } = await orphans(2);
    const head = await reunion(port);
    await ranks[0]!.comeBack({}, WAIT);
    const twice = await rejection(ranks[0]!.comeBack({}, WAIT), 'INVALID_ARGUMENT');
    expect(twice.message).to.include('rank 0 is back already');
    await all(head, 1);
    await ranks[0]!.link.close();
    while (head.ranks.length > 0) await head.news(5000);
    await ranks[0]!.comeBack({}, WAIT);
    await all(head, 1);
  });

  it('are turned away by a head that finds fault with them', async () => {
    const { port, ranks } = await orphans(2);
    const head = await reunion(port, (rank) => {
      if (rank === 1) throw new CommError('INVALID_ARGUMENT', 'rank 1 runs another job; give the same configuration');
    });
    expect((await rejection(ranks[1]!.comeBack({}, WAIT), 'INVALID_ARGUMENT')).message).to.include(
      'rank 1 runs another job',
    );
    await ranks[0]!.comeBack({}, WAIT);
    await all(head, 1);
    expect(head.ranks.map(({ rank }) => rank)).to.deep.equal([0]);
  });

  it('are turned away by a head that begins a job, and by one whose job has gone on without them', async () => {
    const { port, ranks } = await orphans(2);
    const begins = await keep(Rendezvous.listen({ host: HOST, port, secret: 's', size: 2, job: {}, ...WAIT }));
    expect((await rejection(ranks[0]!.comeBack({}, WAIT), 'INVALID_ARGUMENT')).message).to.include(
      'this head begins a job',
    );
    await begins.close();
    const head = await reunion(port);
    await ranks[0]!.comeBack({}, WAIT);
    await all(head, 1);
    const expectTooLate = async (): Promise<void> => {
      const late = await rejection(ranks[1]!.comeBack({}, WAIT), 'INVALID_ARGUMENT');
      expect(late.message).to.include('the job has gone on without this rank');
    };
    expect(head.settle().map(({ rank }) => rank)).to.deep.equal([0]);
    await expectTooLate();
    head.stayOpen({
      ...{ welcome: () => ({}), agree: () => undefined },
      ...{ onCandidate: () => undefined, onFailed: () => undefined },
    });
    await expectTooLate();
    expect(head.ranks.map(({ rank }) => rank)).to.deep.equal([0]);
  });
});
