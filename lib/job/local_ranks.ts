/**
 * Rank processes on this machine: started, watched, and ended without leaving any behind.
 * Why: docs/decisions/start.md#local-ranks-get-the-secret-through-a-pipe
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { PlaceOrder } from '../rank/rank_place.js';
import type { SpawnOrder } from '../rank/spawned_rank.js';
import { RankProcess, type JoinedNews, type RankExit } from './rank_process.js';

/** What ranks are told, and who hears of them. */
export interface LocalRanksOrders {
  /** What all of them are told. */
  readonly order: Omit<SpawnOrder, 'rank' | 'numThreads' | 'place'>;
  /** Of the ranks, in their order; as threads they share one. */
  readonly places: readonly PlaceOrder[];
  /** A line that a rank wrote to its standard output or error. */
  readonly onLog?: (rank: number | null, line: string) => void;
  /** A rank has joined the job. */
  readonly onJoined?: (news: JoinedNews) => void;
}

/** A rank that was told to shut down over its control link normally takes a few milliseconds; one that is stopped or blocked in compute is killed. */
const KILL_AFTER_MS = 500;

/** A rank that was started behind the others. */
export interface LocalNewcomer {
  /** Its number, as soon as it has one. */
  readonly rank: number | null;
  readonly exit: Promise<RankExit>;
  /** Ends it at once, also while it is stopped. */
  kill(): void;
  /** Resolves when it has ended, which it does by itself, or after a moment by force. */
  ended(): Promise<void>;
}

/** The processes of the ranks on this machine: started together, or one by one later, and ended with this one. */
export class LocalRanks {
  private readonly processes: RankProcess[];
  /** What {@link begin} told. */
  private orders: LocalRanksOrders | undefined;

  /**
   * Starts processes, which load their program and wait for {@link begin}.
   *
   * @param ranks their numbers; null where the head gives one
   * @param asThreads all of them, numbered from 0, as threads of one process
   */
  constructor(
    private readonly ranks: readonly (number | null)[],
    private readonly asThreads = false,
  ) {
    this.processes = (asThreads ? [null] : ranks).map((rank) => new RankProcess(rank));
  }

  /** Ranks 0 … numRanks − 1 of a job. */
  static ofJob(numRanks: number, transport: 'ws' | 'threads'): LocalRanks {
    const numbers = Array.from({ length: numRanks }, (_, rank) => rank);
    return new LocalRanks(numbers, transport === 'threads');
  }

  /** Tells all of them what to do. Once. */
  begin(orders: LocalRanksOrders): void {
    this.orders = orders;
    for (const [i, each] of this.processes.entries()) this.tell(each, i);
  }

  /** One more, where ranks are processes, with a place as others have it; the head gives it a number. */
  start(): LocalNewcomer {
    const started = new RankProcess(null);
    this.processes.push(started);
    void started.exit.then(() => this.processes.splice(this.processes.indexOf(started), 1));
    this.tell(started, this.processes.length - 1);
    return {
      get rank() {
        return started.rank;
      },
      exit: started.exit,
      kill: () => started.kill('SIGKILL'),
      ended: () => endOf(started),
    };
  }

  private tell(told: RankProcess, index: number): void {
    const { order, places, onLog, onJoined } = this.orders!;
    const { rank } = told;
    const who = { ...(rank !== null && { rank }), ...(this.asThreads && { numThreads: this.ranks.length }) };
    told.begin({
      order: { ...order, place: places[index % places.length]!, ...who },
      onLine: (line) => onLog?.(told.rank, line),
      onJoined,
    });
  }

  /** Each process's end, in the order of the options. */
  get exits(): readonly Promise<RankExit>[] {
    return this.processes.map(({ exit }) => exit);
  }

  /** Ends one rank at once, if it runs here: also one that is stopped or blocked. */
  kill(rank: number): void {
    this.processes.findLast((each) => each.rank === rank)?.kill('SIGKILL');
  }

  /** Asks all of them whether their job can go on without them; those that can't be asked end. */
  terminate(): void {
    for (const each of this.processes) each.kill('SIGTERM');
  }

  /** Resolves when a rank that was told to end has done so, after a moment by force; at once if it doesn't run here. */
  async ended(rank: number): Promise<void> {
    const going = this.processes.findLast((each) => each.rank === rank);
    if (going !== undefined) await endOf(going);
  }

  /** Ends what still runs: `gracefully` leaves ranks half a second to obey a shutdown message first. Idempotent. */
  async close({ gracefully }: { readonly gracefully: boolean }): Promise<void> {
    const all = Promise.all(this.exits);
    const ended = all.then(() => true);
    if (gracefully && (await Promise.race([ended, wait(KILL_AFTER_MS)]))) return;
    // SIGTERM would only ask a rank of a job that goes on whether it may leave.
    for (const each of this.processes) each.kill('SIGKILL');
    await all;
  }
}

/** Of a process that was told to end. */
async function endOf(going: RankProcess): Promise<void> {
  const ended = going.exit.then(() => true);
  if (await Promise.race([ended, wait(KILL_AFTER_MS)])) return;
  going.kill('SIGKILL');
  await ended;
}

const wait = (ms: number): Promise<false> => delay(ms, false, { ref: false });
