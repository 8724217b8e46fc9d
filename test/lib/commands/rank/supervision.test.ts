import { expect } from 'chai';
import { Interruption } from '../../../../lib/commands/base/context.js';
import { superviseRanks, type SupervisedRanks } from '../../../../lib/commands/rank/supervision.js';
import type { LocalNewcomer, LocalRanksOrders } from '../../../../lib/job/local_ranks.js';
import type { RankExit } from '../../../../lib/job/rank_process.js';
import type { RankJob } from '../../../../lib/protocol/rank_job.js';
import type { SpawnedRankNews } from '../../../../lib/rank/spawned_rank.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { errorOf } from '../../../kit/rejects.js';

/** Processes that join and end when a test says so. */
class PlayedRanks implements SupervisedRanks {
  readonly story: string[] = [];
  readonly exits: Promise<RankExit>[] = [];
  private readonly ends: ((end: RankExit) => void)[] = [];
  private orders!: LocalRanksOrders;

  constructor(numRanks: number) {
    for (let i = 0; i < numRanks; i++) void this.add();
  }

  begin(orders: LocalRanksOrders): void {
    this.orders = orders;
  }

  start(): LocalNewcomer {
    this.story.push('start');
    return { rank: null, exit: this.add(), kill: () => undefined, ended: () => Promise.resolve() };
  }

  askToLeave(): void {
    this.story.push('ask to leave');
  }

  tellOfEnd({ rank, signal }: RankExit): void {
    this.story.push(`rank ${rank}: ${signal}`);
  }

  close({ gracefully }: { readonly gracefully: boolean }): Promise<void> {
    this.story.push(gracefully ? 'close' : 'kill');
    return Promise.resolve();
  }

  join(rank: number, onPeerLoss: RankJob['onPeerLoss'] = 'recover'): void {
    this.tell(rank, { kind: 'joined', rank, onPeerLoss });
  }

  tell(rank: number, news: SpawnedRankNews): void {
    this.orders.onNews?.(news, { rank, pid: 50 + rank });
  }

  /** The process that was started so many others ago. */
  async end(index: number, end: Partial<RankExit>): Promise<void> {
    this.ends[index]!({ rank: null, pid: 100 + index, code: null, signal: null, ...end });
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
  }

  private add(): Promise<RankExit> {
    const exit = new Promise<RankExit>((resolve) => this.ends.push(resolve));
    this.exits.push(exit);
    return exit;
  }
}

function supervised(
  ranks: PlayedRanks,
  { restart = false, hasLauncher = false }: { readonly restart?: boolean; readonly hasLauncher?: boolean } = {},
) {
  const interrupted = new AbortController();
  const context = commandContext(interrupted.signal);
  const over = superviseRanks(
    {
      ...{
        order: { head: { host: 'h', port: 1 }, secret: '', joinTimeoutMs: 1 },
        first: undefined,
        restart,
        hasLauncher,
        ranks,
      },
      places: ranks.exits.map(() => ({})),
    },
    context,
  );
  over.catch(() => undefined);
  return { over, context, terminate: () => interrupted.abort(new Interruption('SIGTERM')) };
}

const KILLED = { signal: 'SIGKILL' } as const;

describe('the ranks of one command', () => {
  it('that never joined have failed, also where another one is started again later', async () => {
    const ranks = new PlayedRanks(2);
    const { over } = supervised(ranks, { restart: true });
    ranks.join(1);
    await ranks.end(0, { code: 1 });
    await ranks.end(1, { rank: 1, ...KILLED });
    ranks.join(2);
    await ranks.end(2, { rank: 2, code: 0 });
    const error = await errorOf(EngineError, () => over);
    expect(error).to.include({ code: 'RANK_LOST' });
    expect(error.message).to.contain('process 100');
    expect(ranks.story).to.deep.equal(['start', 'close']);
  });

  it('that were lost and started again have not failed', async () => {
    const ranks = new PlayedRanks(2);
    const { over } = supervised(ranks, { restart: true });
    ranks.join(0);
    ranks.join(1);
    await ranks.end(1, { rank: 1, ...KILLED });
    await ranks.end(0, { rank: 0, code: 0 });
    await over;
  });

  it('are asked to leave at SIGTERM, not signalled, and awaited', async () => {
    const ranks = new PlayedRanks(2);
    const { over, terminate } = supervised(ranks);
    ranks.join(0);
    ranks.join(1);
    terminate();
    expect(ranks.story).to.deep.equal(['ask to leave']);
    for (const rank of [1, 0]) await ranks.end(rank, { rank, code: 0, hasLeft: true });
    await over;
    expect(ranks.story).to.deep.equal(['ask to leave', 'close']);
  });

  it('tell who they are, who left, and who has to stay', async () => {
    const ranks = new PlayedRanks(2);
    const { over, context, terminate } = supervised(ranks);
    for (const rank of [0, 1]) {
      ranks.join(rank);
      ranks.tell(rank, { kind: 'member' });
    }
    terminate();
    ranks.tell(1, { kind: 'left' });
    ranks.tell(0, { kind: 'stays', reason: 'no rank would stay but rank 0' });
    for (const rank of [1, 0]) await ranks.end(rank, { rank, code: 0, hasLeft: rank === 1 });
    await over;
    expect(context.told().trimEnd().split('\n')).to.deep.equal([
      'joined as rank 0 (process 50)',
      'joined as rank 1 (process 51)',
      'rank 1 (process 51) has left the job',
      "rank 0 (process 50) stays, the job can't let it go: no rank would stay but rank 0; another SIGTERM ends it at once",
    ]);
  });

  it('of a job that ends with any of them are ended at SIGTERM', () => {
    const ranks = new PlayedRanks(2);
    const { terminate } = supervised(ranks);
    ranks.join(0, 'fail');
    terminate();
    expect(ranks.story).to.deep.equal(['kill']);
  });

  it('tell the head of one that was killed, and end with their job: it ended first', async () => {
    const ranks = new PlayedRanks(2);
    const { over } = supervised(ranks);
    ranks.join(0, 'fail');
    ranks.join(1, 'fail');
    await ranks.end(1, { rank: 1, ...KILLED });
    expect((await errorOf(EngineError, () => over)).message).to.contain('rank 1 (process 101) was killed by SIGKILL');
    expect(ranks.story).to.deep.equal(['rank 1: SIGKILL', 'close']);
  });

  it('say nothing of one that told the head itself why it ended', async () => {
    const ranks = new PlayedRanks(2);
    const { over } = supervised(ranks);
    ranks.join(0, 'fail');
    ranks.join(1, 'fail');
    await ranks.end(0, { rank: 0, code: 1 });
    await errorOf(EngineError, () => over);
    expect(ranks.story).to.deep.equal(['close']);
  });

  it('of a launcher: one that fails leaves others a moment to say what came first, and ends when it is told to', async () => {
    const ranks = new PlayedRanks(1);
    const { over, terminate } = supervised(ranks, { hasLauncher: true });
    ranks.join(1, 'fail');
    let isOver = false;
    const ended = over.catch(() => undefined).then(() => (isOver = true));
    await ranks.end(0, { rank: 1, ...KILLED });
    expect([ranks.story, isOver]).to.deep.equal([['rank 1: SIGKILL', 'close'], false]);
    terminate();
    await ended;
  });

  it('are ended at once where the first to fail never joined', async () => {
    const ranks = new PlayedRanks(2);
    const { over } = supervised(ranks);
    await ranks.end(0, { rank: 0, code: 1 });
    await errorOf(EngineError, () => over);
    expect(ranks.story).to.deep.equal(['kill']);
  });
});
