import { expect } from 'chai';
import {
  Admissions,
  asRank,
  CommError,
  joinHead,
  Rendezvous,
  type Candidate,
  type ControlMessage,
  type Door,
  type DoorOptions,
  type FrameKey,
  type JoinedRank,
  type Mesh,
} from '../../../comm/index.js';
import { rejection } from '../../kit/errors.js';

const HOST = '127.0.0.1';
const FINGERPRINT = 'abcdef012345'.repeat(5);
const WAIT = { timeoutMs: 20_000 };
const KEY: FrameKey = { phase: 'dispatch', step: 1, layer: 2, microBatch: 0, epoch: 0 };

/** What a rank does besides computing. */
interface PlayedRank {
  readonly joined: JoinedRank;
  readonly mesh: Mesh;
}

/** A job whose head keeps its door open, and who is told of what. */
class PlayedJob {
  readonly candidates: Candidate[] = [];
  readonly failures: CommError[] = [];
  readonly ranks: PlayedRank[] = [];
  /** How long its ranks try to link up with one. */
  linkMs = 10_000;
  private readonly waiting: (() => void)[] = [];
  private door: Door | undefined;

  constructor(readonly head: Rendezvous) {}

  static async listen(): Promise<PlayedJob> {
    const job = { numFirst: 2, size: 4, job: { is: 'first' }, staysOpen: true };
    return new PlayedJob(await Rendezvous.listen({ host: HOST, port: 0, secret: 's', timeoutMs: 20_000, ...job }));
  }

  /** With its first ranks, which link up. */
  async begin(options: Partial<DoorOptions>): Promise<void> {
    await Promise.all([this.come(), this.come()]);
    await this.open(options);
  }

  /** Somebody loads, opens its mesh and does what the head says of links. */
  async come(fingerprint = FINGERPRINT, rank?: number): Promise<PlayedRank> {
    const joined = await this.dial(rank);
    const played = { joined, mesh: await joined.ready(fingerprint, { maxFrameBytes: 1000 }) };
    this.ranks.push(played);
    const admissions = new Admissions({ ...played, link: joined.link, timeoutMs: this.linkMs });
    joined.link.onMessage((message) => void admissions.take(message));
    return played;
  }

  dial(rank?: number): Promise<JoinedRank> {
    const wish = rank === undefined ? {} : { rank: asRank(rank) };
    return joinHead({ head: { host: HOST, port: this.head.port }, secret: 's', ...WAIT, ...wish });
  }

  async open(options: Partial<DoorOptions> = {}): Promise<void> {
    const links = await this.head.links();
    this.door = this.head.stayOpen({
      welcome: (rank) => ({ seat: rank }),
      agree: (offer) => ({ agreedOn: offer }),
      timeoutMs: 20_000,
      onCandidate: (candidate) => {
        this.candidates.push(candidate);
        this.listenTo(candidate);
        this.wake();
      },
      onFailed: (_, error) => {
        this.failures.push(error);
        this.wake();
      },
      ...options,
    });
    for (const [rank, link] of links.entries()) this.listenTo({ rank: asRank(rank), link });
  }

  /** When so many have come, or failed. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  vacate(rank: number, reason: string): void {
    this.door!.vacate(asRank(rank), reason);
  }

  /** Whether frames travel between each two of these seats. */
  async expectLinked(...seats: number[]): Promise<void> {
    const meshes = seats.map((seat) => this.ranks.findLast(({ joined }) => joined.rank === seat)!.mesh);
    const pairs = meshes.flatMap((a) => meshes.filter((b) => b !== a).map((b) => [a, b] as const));
    for (const [a, b] of pairs) send(a, b);
    for (const [a, b] of pairs) expect([...(await b.receive(a.rank, KEY, WAIT)).payload]).to.deep.equal([a.rank]);
    for (const mesh of meshes) mesh.advanceEpoch(KEY.epoch);
  }

  async close(): Promise<void> {
    await Promise.all(this.ranks.map(({ mesh }) => mesh.close()));
    await this.head.close();
  }

  private listenTo({ rank, link }: Candidate): void {
    link.onMessage((message) => {
      if (message.type === 'linked' || message.type === 'unlinked') this.door!.hear(rank, message);
    });
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

function send(from: Mesh, to: Mesh): void {
  const rows = { numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes: 1 } as const;
  from.send(to.rank, { ...KEY, ...rows, source: from.rank, destination: to.rank }, [Uint8Array.of(from.rank)]);
}

/** `linkMs`: how long ranks try to link up with one. */
type BeginOptions = Partial<DoorOptions> & { readonly linkMs?: number };

describe('the door of a running job', () => {
  let job: PlayedJob;
  const others: { close(): Promise<void> }[] = [];
  const begin = async ({ linkMs = 10_000, ...options }: BeginOptions = {}): Promise<void> => {
    job = await PlayedJob.listen();
    job.linkMs = linkMs;
    await job.begin(options);
  };
  const keep = async <T extends { close(): Promise<void> }>(owner: Promise<T>): Promise<T> => {
    const opened = await owner;
    others.push(opened);
    return opened;
  };

  afterEach(async () => {
    await Promise.all(others.splice(0).map((each) => each.close()));
    await job.close();
  });

  it('lets a newcomer load beside the others, says what it is to do there, and links it to all', async () => {
    const news: string[] = [];
    await begin({
      onJoined: (rank) => news.push(`${rank} joined`),
      onProgress: (rank, { what, fraction }) => news.push(`${rank} ${what} ${fraction}`),
    });
    const joined = await keep(job.dial());
    expect([joined.rank, joined.size, joined.job]).to.deep.equal([2, 4, { seat: 2 }]);
    expect(await joined.agree('fused', WAIT)).to.deep.equal({ agreedOn: 'fused' });
    joined.progress('weights', 0.5);
    const mesh = await keep(joined.ready(FINGERPRINT, { maxFrameBytes: 1000 }));
    job.ranks.push({ joined, mesh });
    const admissions = new Admissions({ link: joined.link, mesh });
    joined.link.onMessage((message) => void admissions.take(message));
    await job.until(() => job.candidates.length === 1);
    expect(job.candidates[0]!.rank).to.equal(2);
    expect(news).to.deep.equal(['2 joined', '2 weights 0.5']);
    await job.expectLinked(0, 1, 2);
  });

  it('keeps what a candidate says until somebody listens', async () => {
    let candidate: Candidate | undefined;
    await begin({ onCandidate: (each) => void (candidate = each) });
    const { joined } = await job.come();
    joined.link.send({ type: 'job', body: 'loaded' });
    while (candidate === undefined) await new Promise((resolve) => setImmediate(resolve));
    expect(await candidate.link.receive(WAIT)).to.deep.equal({ type: 'job', body: 'loaded' });
  });

  it('links newcomers who come at once to each other, and to who came before them', async () => {
    await begin();
    await Promise.all([job.come(), job.come()]);
    await job.until(() => job.candidates.length === 2);
    await job.expectLinked(0, 1, 2, 3);
  });

  it('gives a seat that is free to who asks for it, else the lowest, and says LIMIT where there is none', async () => {
    await begin();
    const seats = [await keep(job.dial(3)), await keep(job.dial(1))].map(({ rank }) => rank);
    expect(seats).to.deep.equal([3, 2]);
    const error = await rejection(job.dial(), 'LIMIT');
    expect(error.message).to.contain('all 4 places').and.contain('parallel.max_ranks');
  });

  it('gives the seat of who was lost to who comes next: the others are linked to that one alone', async () => {
    await begin();
    const lost = job.ranks.find(({ joined }) => joined.rank === 1)!;
    await lost.mesh.close();
    await lost.joined.close();
    job.vacate(1, 'its process ended');
    const { joined } = await job.come();
    expect(joined.rank).to.equal(1);
    await job.until(() => job.candidates.length === 1);
    await job.expectLinked(0, 1);
  });

  it('lets a rank wait that comes before the door opens', async () => {
    job = await PlayedJob.listen();
    await Promise.all([job.come(), job.come()]);
    await job.head.links();
    const early = job.come();
    await job.open();
    expect((await early).joined.rank).to.equal(2);
    await job.until(() => job.candidates.length === 1);
    await job.expectLinked(0, 1, 2);
  });

  describe('sends away, and nobody else notices, a newcomer that', () => {
    const cases: readonly (readonly [string, CommError['code'], () => Promise<unknown>, BeginOptions?])[] = [
      [
        'loaded another checkpoint',
        'FINGERPRINT_MISMATCH',
        async () => {
          await rejection(job.come('fedcba543210'.repeat(5)), 'FINGERPRINT_MISMATCH');
        },
      ],
      [
        'can’t do what the job agreed on',
        'VERSION_MISMATCH',
        async () => {
          const joined = await keep(job.dial());
          await rejection(joined.agree('nothing', WAIT), 'VERSION_MISMATCH');
        },
        {
          agree: () => {
            throw new CommError('VERSION_MISMATCH', 'it has no such kernels; run the same build');
          },
        },
      ],
      ['goes while it loads', 'PEER_LOST', async () => (await job.dial()).close()],
      [
        'fails while it loads',
        'PEER_FAILED',
        async () => {
          const error = { code: 'OUT_OF_MEMORY', reason: 'too little', advice: 'buy some', blames: [] };
          (await keep(job.dial())).link.send({ type: 'failed', error });
        },
      ],
      ['says nothing', 'TIMEOUT', () => keep(job.dial()), { timeoutMs: 300 }],
      ['speaks out of turn', 'PROTOCOL', async () => (await keep(job.dial())).link.send({ type: 'meshed' })],
      [
        'has loaded twice',
        'PROTOCOL',
        async () => {
          const { link } = await keep(job.dial());
          const ready = { type: 'ready', fingerprint: FINGERPRINT, host: HOST, port: 7 } as const;
          link.send(ready);
          link.send(ready);
        },
      ],
      [
        'is where the others can’t reach it',
        'UNREACHABLE',
        async () => {
          const { link } = await keep(job.dial());
          link.send({ type: 'ready', fingerprint: FINGERPRINT, host: '10.9.8.7', port: 7 });
        },
      ],
      [
        'lies about its address',
        'UNREACHABLE',
        async () => {
          const { link } = await keep(job.dial());
          const port = 1; // nobody listens there
          link.send({ type: 'ready', fingerprint: FINGERPRINT, host: HOST, port });
          link.send({ type: 'meshed' });
        },
      ],
      [
        'goes while it links up',
        'PEER_LOST',
        async () => {
          const joined = await job.dial();
          const mesh = await keep(joined.ready(FINGERPRINT, { maxFrameBytes: 1000 }));
          await joined.link.receive(WAIT);
          await joined.close();
          await mesh.close();
        },
      ],
      [
        'doesn’t link up',
        'TIMEOUT',
        async () => {
          await keep((await keep(job.dial())).ready(FINGERPRINT));
        },
        { timeoutMs: 1000, linkMs: 10_000 },
      ],
      [
        'has other limits',
        'PROTOCOL',
        async () => {
          const joined = await keep(job.dial());
          const mesh = await keep(joined.ready(FINGERPRINT, { maxFrameBytes: 2000 }));
          const admissions = new Admissions({ link: joined.link, mesh, timeoutMs: 500 });
          joined.link.onMessage((message) => void admissions.take(message));
        },
      ],
    ];
    for (const [what, code, act, options] of cases) {
      it(`${what}: ${code}, and its seat is free again`, async () => {
        await begin({ linkMs: 300, ...options });
        await act();
        await job.until(() => job.failures.length === 1);
        const [error] = job.failures;
        expect(error).to.include({ code, rank: 2, phase: 'join' });
        expect(error!.message).to.contain('rank 2 can’t join the running job'.replace('’', "'"));
        expect(job.candidates).to.deep.equal([]);
        await job.expectLinked(0, 1);
        const next = await keep(job.dial());
        expect(next.rank).to.equal(2);
      });
    }
  });

  it('takes a newcomer that is linked to all who are left, when one is lost that it was linking up with', async () => {
    await begin();
    const lost = job.ranks.find(({ joined }) => joined.rank === 1)!;
    lost.joined.link.onMessage(() => undefined); // hears nothing any more
    await job.come();
    job.vacate(1, 'it fell silent');
    await job.until(() => job.candidates.length === 1);
    await job.expectLinked(0, 2);
  });

  it('tries a pair again where one of the two was too slow to hear of it', async () => {
    await begin({ linkMs: 600 });
    const slow = job.ranks.find(({ joined }) => joined.rank === 1)!;
    const heard: ControlMessage[] = [];
    const admissions = new Admissions({ link: slow.joined.link, mesh: slow.mesh });
    slow.joined.link.onMessage((message) => {
      heard.push(message);
      if (heard.length > 1) admissions.take(message);
    });
    await job.come();
    await job.until(() => job.candidates.length === 1);
    expect(heard.map(({ type }) => type)).to.deep.equal(['admit', 'admit']);
    await job.expectLinked(0, 1, 2);
  });

  it('sends those away who still come when the job ends', async () => {
    await begin();
    const joined = await keep(job.dial());
    const told = joined.link.receive(WAIT);
    await job.head.close();
    expect(await told).to.have.nested.property('error.code', 'CLOSED');
    expect(job.failures.map(({ code }) => code)).to.deep.equal(['CLOSED']);
  });
});
