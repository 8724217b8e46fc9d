/** The ranks of one command: started, watched, started again, and ended together. */
import { setTimeout as delay } from 'node:timers/promises';
import { EngineError } from '../../protocol/errors.js';
import { LocalRanks, type LocalRanksOrders } from '../../job/local_ranks.js';
import { howEnded } from '../../job/failure_report.js';
import type { RankExit } from '../../job/rank_process.js';
import type { LossPolicy } from '../../config/loss_policy.js';
import type { PlaceOrder } from '../../rank/rank_place.js';
import type { SpawnedRankNews } from '../../rank/spawned_rank.js';
import { isTermination, ToldError, type CommandContext } from '../base/context.js';
import { SharedTerminal } from '../base/shared_terminal.js';

/** Which ranks. */
export interface SupervisionOptions {
  readonly order: LocalRanksOrders['order'];
  /** The number of the first of them; undefined: the head gives each its own. */
  readonly first: number | undefined;
  /** Of each. */
  readonly places: readonly PlaceOrder[];
  /** One that was lost after it had joined is started again, to join as a new one. */
  readonly restart: boolean;
  /** A launcher started the command, and ends all others as soon as it fails: then they get a moment to say what came first. Default false. */
  readonly hasLauncher?: boolean;
  /** Their processes. Default: started here. */
  readonly ranks?: SupervisedRanks;
}

/** The processes of the ranks that a command watches. */
export type SupervisedRanks = Pick<LocalRanks, 'begin' | 'start' | 'exits' | 'askToLeave' | 'tellOfEnd' | 'close'>;

/**
 * Starts ranks, each in a process of its own whose native libraries can't talk past us, and watches them. The first that fails ends the others, unless the job goes on
 * after losses: then the head decides who goes on. One alone speaks for itself. SIGTERM asks such a job to let its ranks go, and waits until it has.
 * @throws EngineError RANK_LOST: the first of several that failed; ToldError where one alone failed and said why itself
 */
export async function superviseRanks(
  { order, first, places, restart, hasLauncher = false, ranks = processesOf(first, places.length) }: SupervisionOptions,
  context: CommandContext,
): Promise<void> {
  const { signal } = context;
  signal.throwIfAborted(); // what was aborted before anybody listens is never told
  const terminal = new SharedTerminal(context);
  const isAlone = places.length === 1;
  const joined = new Set<number>();
  let onPeerLoss: LossPolicy = 'fail';
  const goesOn = (): boolean => onPeerLoss !== 'fail';
  ranks.begin({
    order,
    places,
    onNews: (news, who) => {
      if (news.kind === 'joined') {
        ({ onPeerLoss } = news);
        joined.add(news.rank);
      } else terminal.line(newsOf(news, nameOf(who)));
    },
    onLog: (number, line) => {
      if (!signal.aborted) terminal.line(isAlone ? line : `[rank ${number ?? '?'}] ${line}`);
    },
  });
  const ends = new Ends(ranks.exits);
  const stop = (): void => {
    if (isTermination(signal.reason) && goesOn()) ranks.askToLeave();
    else void ranks.close({ gracefully: false });
  };
  signal.addEventListener('abort', stop, { once: true });
  let failed: RankExit | null = null;
  for await (const end of ends) {
    if (end.code === 0 && end.hasLeft === true) continue;
    // A rank that ended well tells that the job is over, also for one that is stopped.
    if (end.code === 0 && goesOn()) break;
    if (end.code === 0) continue;
    const isOver = signal.aborted || !goesOn();
    if (!isOver && restart && end.rank !== null && joined.delete(end.rank)) {
      terminal.line(`warning: ${howOf(end)}; another one is started`);
      ends.add(ranks.start().exit);
      continue;
    }
    failed ??= end;
    if (isOver || isAlone) break;
    terminal.line(`warning: ${howOf(end)}; the others go on as the head decides (comm.on_peer_loss: ${onPeerLoss})`);
  }
  // Those that joined end with their job, whose head names the first that was lost: ended here at once, they might look like the first.
  const endsWithJob = failed?.rank != null && joined.has(failed.rank) && !signal.aborted;
  // One that wasn't killed has told the head itself.
  if (endsWithJob && !goesOn() && failed?.signal != null) ranks.tellOfEnd(failed);
  await ranks.close({ gracefully: failed === null || goesOn() || endsWithJob });
  if (failed === null && isTermination(signal.reason) && goesOn()) context.obeyed?.();
  if (failed === null || signal.aborted) return;
  if (hasLauncher && endsWithJob) await delay(LAST_WORDS_MS, undefined, { signal }).catch(() => undefined);
  throw isAlone && failed.signal === null ? new ToldError() : exitError(failed);
}

/** The head gathers reports of a loss for 250 ms. */
const LAST_WORDS_MS = 600;

const processesOf = (first: number | undefined, count: number): LocalRanks =>
  new LocalRanks(Array.from({ length: count }, (_, i) => (first === undefined ? null : first + i)));

/** Ends of processes, in the order of time, also of those that come to it. */
class Ends {
  private readonly left = new Map<number, Promise<{ readonly i: number; readonly end: RankExit }>>();
  private numAdded = 0;

  constructor(exits: readonly Promise<RankExit>[]) {
    for (const exit of exits) this.add(exit);
  }

  add(exit: Promise<RankExit>): void {
    const i = this.numAdded++;
    this.left.set(
      i,
      exit.then((end) => ({ i, end })),
    );
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<RankExit> {
    while (this.left.size > 0) {
      const { i, end } = await Promise.race(this.left.values());
      this.left.delete(i);
      yield end;
    }
  }
}

const howOf = (exit: RankExit): string => `${nameOf(exit)} ${howEnded(exit)}`;

const nameOf = ({ rank, pid }: Pick<RankExit, 'rank' | 'pid'>): string => `rank ${rank ?? '?'} (process ${pid ?? '?'})`;

function newsOf(news: Exclude<SpawnedRankNews, { kind: 'joined' }>, name: string): string {
  switch (news.kind) {
    case 'member':
      return `joined as ${name}`;
    case 'left':
      return `${name} has left the job`;
    case 'stays':
      return `${name} stays, the job can't let it go: ${news.reason}; another SIGTERM ends it at once`;
  }
}

const exitError = (exit: RankExit): EngineError =>
  new EngineError('RANK_LOST', `${howOf(exit)}; its last words are above`);
