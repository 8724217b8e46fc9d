/** Who comes to a job, who is kept, and who joins: over a played job and a played door. */
import { expect } from 'chai';
import { asRank } from '../../../base/ids.js';
import type { ControlLink } from '../../../comm/job/control_link.js';
import type { ControlMessage } from '../../../comm/job/messages.js';
import type { LocalNewcomer } from '../../../lib/job/local_ranks.js';
import { Newcomers, type NewcomersParts } from '../../../lib/job/newcomers.js';
import type { RankExit } from '../../../lib/job/rank_process.js';
import type { LoadReport } from '../../../lib/protocol/step_plan.js';

/** A process that was started here. */
interface Started extends LocalNewcomer {
  rank: number | null;
  end(): void;
}

/** A job whose epochs begin when they are told to. */
class PlayedJob {
  readonly members: Set<number>;
  readonly started: Started[] = [];
  /** By seat: the process of who sits there. */
  readonly seated = new Map<number, LocalNewcomer | null>();
  readonly newcomers: Newcomers;
  private readonly joining = new Set<number>();
  private door!: Parameters<NewcomersParts['open']>[0];

  constructor(numRanks: number, numSpares: number) {
    this.members = new Set(Array(numRanks).keys());
    const parts: NewcomersParts = {
      open: (door) => {
        this.door = door;
        return { hear: () => undefined, vacate: () => undefined };
      },
      check: () => Promise.resolve(),
      ...{ numSpares, timeoutMs: 60_000, silenceMs: 60_000 },
    };
    this.newcomers = new Newcomers(parts, {
      numSeats: 9,
      local: { start: () => this.start() },
      numMembers: () => this.members.size,
      numJoining: () => this.joining.size,
      sit: ({ rank }, _report, newcomer) => void this.seated.set(rank, newcomer),
      takeIn: (rank) => void this.joining.add(rank),
    });
  }

  /** Somebody is linked to all others, and says what it loaded; `isSilent`: it gives no sign of life from then on. */
  async come(seat: number, isSilent = false): Promise<void> {
    const link = {
      isOpen: true,
      send: () => undefined,
      onMessage: (hear: ((message: ControlMessage) => void) | undefined) => {
        if (hear) setImmediate(() => hear({ type: 'job', body: { kind: 'loaded', report: {} as LoadReport } }));
      },
      closed: new Promise(() => undefined),
      watch: () => () => (isSilent ? new Promise(() => undefined) : Promise.resolve(true)),
    };
    this.door.onCandidate({ rank: asRank(seat), link: link as unknown as ControlLink });
    await turns();
  }

  /** The door turns somebody away. */
  turnAway(seat: number): void {
    this.door.onFailed(asRank(seat), new Error('not today') as never);
  }

  /** Those who wait for it are members. */
  enter(): void {
    const joined = [...this.joining];
    for (const rank of joined) this.members.add(rank);
    this.joining.clear();
    this.newcomers.enter(joined);
  }

  lose(rank: number): void {
    this.members.delete(rank);
    this.newcomers.vacate(rank, 'it was killed', true);
    this.newcomers.enter([]);
  }

  /** All that were started come to seats, and join where they are wanted, until nobody is started any more. */
  async settle(): Promise<void> {
    for (let i = 0; i < this.started.length; i++) {
      const started = this.started[i]!;
      if (started.rank !== null) continue;
      started.rank = 2 + i;
      await this.come(started.rank);
      this.enter();
      await turns();
    }
  }

  private start(): LocalNewcomer {
    let end!: (exit: RankExit) => void;
    const exit = new Promise<RankExit>((resolve) => (end = resolve));
    const started: Started = {
      ...{ rank: null, exit, kill: () => undefined, ended: () => exit.then(() => undefined) },
      end: () => end({ rank: started.rank, pid: 1, code: 1, signal: null }),
    };
    this.started.push(started);
    return started;
  }
}

async function turns(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise(setImmediate);
}

describe('those who come to a job', () => {
  it('are no more members than were asked for, where some were lost before', async () => {
    const job = new PlayedJob(3, 1);
    job.lose(0);
    job.lose(1);
    const recruited = [job.newcomers.recruit(), job.newcomers.recruit()]; // 3, as before
    await job.settle();
    await Promise.all(recruited);
    expect([job.members.size, job.newcomers.spares.length]).to.deep.equal([3, 1]);
  });

  it('are as many more as were asked for, whoever comes first', async () => {
    const job = new PlayedJob(2, 0);
    const recruited = [job.newcomers.recruit(), job.newcomers.recruit()];
    await job.settle();
    expect(await Promise.all(recruited)).to.have.members([2, 3]);
    expect(job.members.size).to.equal(4);
  });

  it('need not be waited for: an order that is given up ends, also where a spare was to join that gives no sign of life', async () => {
    const job = new PlayedJob(2, 1);
    job.started[0]!.rank = 2;
    await job.come(2, true);
    const order = new AbortController();
    const recruited = job.newcomers.recruit(order.signal).catch((error: unknown) => (error as Error).message);
    order.abort(new Error('it took too long'));
    expect(await recruited).to.equal('it took too long');
  });

  it('are taken for nobody who was turned away from the same seat, and whose process still ends', async () => {
    const job = new PlayedJob(2, 0);
    const [first, second] = [job.newcomers.recruit(), job.newcomers.recruit()];
    const [turnedAway, other] = job.started as [Started, Started];
    turnedAway.rank = 2;
    job.turnAway(2);
    other.rank = 2;
    await job.come(2);
    expect(job.seated.get(2)).to.equal(other);
    turnedAway.end();
    expect(await first.catch((error: unknown) => (error as Error).message)).to.match(/a rank that was to join won't/);
    job.enter();
    expect(await second).to.equal(2);
  });
});
