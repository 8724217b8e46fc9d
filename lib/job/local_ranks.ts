/**
 * Rank processes on this machine: started, watched, and ended without leaving any behind.
 * Why: docs/decisions/start.md#local-ranks-get-the-secret-through-a-pipe
 */
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { PlaceOrder } from '../rank/rank_place.js';
import type { SpawnedRankNews, SpawnOrder } from '../rank/spawned_rank.js';
import { RankProcess, type RankExit } from './rank_process.js';

/** What ranks are told, and who hears of them. */
export interface LocalRanksOrders {
  /** What all of them are told. */
  readonly order: Omit<SpawnOrder, 'rank' | 'numThreads' | 'place'>;
  /** Of the ranks, in their order; as threads they share one. Who is started later takes the one that fewest have who run. */
  readonly places: readonly PlaceOrder[];
  /** A line that a rank wrote to its standard output or error. */
  readonly onLog?: (rank: number | null, line: string) => void;
  /** What a rank is to the job, as it tells it. */
  readonly onNews?: (news: SpawnedRankNews, who: Pick<RankExit, 'rank' | 'pid'>) => void;
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
  /** Those that were started together, also when they have ended. */
  private readonly first: readonly RankProcess[];
  /** Those that run, and which place each has; null: it was killed, and others may have its place. */
  private readonly running = new Map<RankProcess, number | null>();
  /** What {@link begin} told. */
  private orders: LocalRanksOrders | undefined;

  /**
   * Starts processes, which load their program and wait for {@link begin}.
   *
   * @param ranks their numbers; null where the head gives one
   * @param asThreads all of them, numbered from 0, as threads of one process
   * @param startProcess of one rank, or of all where they are threads
   */
  constructor(
    private readonly ranks: readonly (number | null)[],
    private readonly asThreads = false,
    private readonly startProcess = (rank: number | null): RankProcess => new RankProcess(rank),
  ) {
    this.first = (asThreads ? [null] : ranks).map((rank, i) => this.started(rank, i));
  }

  /** Ranks 0 … numRanks − 1 of a job. */
  static ofJob(numRanks: number, transport: 'ws' | 'threads'): LocalRanks {
    const numbers = Array.from({ length: numRanks }, (_, rank) => rank);
    return new LocalRanks(numbers, transport === 'threads');
  }

  /** Tells all of them what to do. Once. */
  begin(orders: LocalRanksOrders): void {
    this.orders = orders;
    for (const [i, each] of this.first.entries()) this.tell(each, i);
  }

  /** One more, where ranks are processes, with the place that fewest have who run; the head gives it a number. */
  start(): LocalNewcomer {
    const place = this.freestPlace();
    const started = this.started(null, place);
    this.tell(started, place);
    return {
      get rank() {
        return started.rank;
      },
      exit: started.exit,
      kill: () => this.killNow(started),
      ended: () => endOf(started),
    };
  }

  private started(rank: number | null, place: number): RankProcess {
    const started = this.startProcess(rank);
    this.running.set(started, place);
    void started.exit.then(() => this.running.delete(started));
    return started;
  }

  /** GPU and cores of one that ended are free for the next. */
  private freestPlace(): number {
    const numOn = this.orders!.places.map(() => 0);
    for (const place of this.running.values()) if (place !== null) numOn[place]!++;
    return numOn.indexOf(Math.min(...numOn));
  }

  private tell(told: RankProcess, place: number): void {
    const { order, places, onLog, onNews } = this.orders!;
    const { rank } = told;
    const who = { ...(rank !== null && { rank }), ...(this.asThreads && { numThreads: this.ranks.length }) };
    told.begin({
      order: { ...order, place: places[place]!, ...who },
      onLine: (line) => onLog?.(told.rank, line),
      onNews: (news, pid) => onNews?.(news, { rank: told.rank, pid }),
    });
  }

  /** The end of each process that was started together with others, in the order of the options. */
  get exits(): readonly Promise<RankExit>[] {
    return this.first.map(({ exit }) => exit);
  }

  /** Ends one rank at once, if it runs here: also one that is stopped or blocked. */
  kill(rank: number): void {
    const killed = this.runningAs(rank);
    if (killed !== undefined) this.killNow(killed);
  }

  /** Asks all of them to leave their job; those that it can't go on without end. */
  askToLeave(): void {
    for (const each of this.running.keys()) each.askToLeave();
  }

  /** Tells those that run that one of them ended, which ends their job: their head hears it from them. */
  tellOfEnd({ rank, pid, code, signal }: RankExit): void {
    if (rank === null) return;
    for (const each of this.running.keys()) each.tellOfEnd({ rank, pid, code, signal, host: hostname() });
  }

  /** Resolves when a rank that was told to end has done so, after a moment by force; at once if it doesn't run here. */
  async ended(rank: number): Promise<void> {
    const going = this.runningAs(rank);
    if (going !== undefined) await endOf(going);
  }

  /** Ends what still runs: `gracefully` leaves ranks half a second to obey a shutdown message first. Idempotent. */
  async close({ gracefully }: { readonly gracefully: boolean }): Promise<void> {
    const all = Promise.all(Array.from(this.running.keys(), ({ exit }) => exit));
    const ended = all.then(() => true);
    if (gracefully && (await Promise.race([ended, wait(KILL_AFTER_MS)]))) return;
    // SIGTERM would only ask a rank of a job that goes on whether it may leave.
    for (const each of this.running.keys()) each.kill('SIGKILL');
    await all;
  }

  private killNow(killed: RankProcess): void {
    killed.kill('SIGKILL');
    if (this.running.has(killed)) this.running.set(killed, null);
  }

  /** The latest: one that was lost may still end. */
  private runningAs(rank: number): RankProcess | undefined {
    return [...this.running.keys()].findLast((each) => each.rank === rank);
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
