/**
 * Rank processes on this machine: started, watched, and ended without leaving any behind.
 * Why: docs/decisions/start.md#local-ranks-get-the-secret-through-a-pipe
 */
import { spawn, type ChildProcess, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { PlaceOrder } from '../rank/rank_place.js';
import type { SpawnedRankNews, SpawnOrder } from '../rank/spawned_rank.js';

/** What ranks are told, and who hears of them. */
export interface LocalRanksOrders {
  /** What all of them are told. */
  readonly order: Omit<SpawnOrder, 'rank' | 'numThreads' | 'place'>;
  /** Of the ranks, in their order; as threads they share one. */
  readonly places: readonly PlaceOrder[];
  /** A line that a rank wrote to its standard output or error. */
  readonly onLog?: (rank: number | null, line: string) => void;
  /** A rank has joined the job. */
  readonly onJoined?: (news: SpawnedRankNews) => void;
}

/** How the process of a rank ended. */
export interface RankExit {
  readonly rank: number | null;
  readonly pid: number | undefined;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** After asking nicely: a rank that is stopped or blocked in compute is killed. */
const KILL_AFTER_MS = 1500;
/** A rank that was told to shut down over its control link normally takes a few milliseconds. */
const TERMINATE_AFTER_MS = 500;

const CLI = fileURLToPath(new URL('../cli.js', import.meta.url));

/** The processes of the ranks on this machine: started together, and ended with this one. */
export class LocalRanks {
  private readonly children: {
    readonly rank: number | null;
    readonly child: ChildProcessWithoutNullStreams;
    readonly exit: Promise<RankExit>;
  }[];

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
    this.children = (asThreads ? [null] : ranks).map((rank) => {
      const child = spawnRank(rank);
      return { rank, child, exit: exitOf(child, rank) };
    });
  }

  /** Ranks 0 … numRanks − 1 of a job. */
  static ofJob(numRanks: number, transport: 'ws' | 'threads'): LocalRanks {
    const numbers = Array.from({ length: numRanks }, (_, rank) => rank);
    return new LocalRanks(numbers, transport === 'threads');
  }

  /** Tells all of them what to do. Once. */
  begin({ order, places, onLog, onJoined }: LocalRanksOrders): void {
    for (const [i, { rank, child }] of this.children.entries()) {
      child.on('message', (news) => onJoined?.(news as SpawnedRankNews));
      const who = { ...(rank !== null && { rank }), ...(this.asThreads && { numThreads: this.ranks.length }) };
      child.stdin.write(`${JSON.stringify({ ...order, place: places[i]!, ...who } satisfies SpawnOrder)}\n`);
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on('line', (line) => {
          if (isNews(line)) onLog?.(rank, line);
        });
      }
    }
  }

  /** Each process's end, in the order of the options. */
  get exits(): readonly Promise<RankExit>[] {
    return this.children.map(({ exit }) => exit);
  }

  /** Ends one rank at once, if it runs here: also one that is stopped or blocked. */
  kill(rank: number): void {
    this.children.find((each) => each.rank === rank)?.child.kill('SIGKILL');
  }

  /** Ends what still runs: `gracefully` leaves ranks half a second to obey a shutdown message first. Idempotent. */
  async close({ gracefully }: { readonly gracefully: boolean }): Promise<void> {
    const all = Promise.all(this.exits);
    const ended = all.then(() => true);
    if (gracefully && (await Promise.race([ended, wait(TERMINATE_AFTER_MS)]))) return;
    for (const { child } of this.children) child.kill('SIGTERM');
    if (await Promise.race([ended, wait(KILL_AFTER_MS)])) return;
    for (const { child } of this.children) child.kill('SIGKILL');
    await all;
  }
}

const wait = (ms: number): Promise<false> => delay(ms, false, { ref: false });

function spawnRank(rank: number | null): ChildProcessWithoutNullStreams {
  // The number is for those who look at the list of processes.
  const number = rank === null ? [] : ['--rank', String(rank)];
  const child = spawn(process.execPath, ['--no-warnings', CLI, 'rank', '--spawned', ...number], {
    stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
  }) as ChildProcessWithoutNullStreams;
  child.stdin.on('error', () => undefined);
  return child;
}

function exitOf(child: ChildProcess, rank: number | null): Promise<RankExit> {
  return new Promise((resolve) => {
    child.once('error', () => resolve({ rank, pid: child.pid, code: 1, signal: null }));
    // 'close' comes after the last line of output, so that a rank's own words are printed before its end is reported.
    child.once('close', (code, signal) => resolve({ rank, pid: child.pid, code, signal }));
  });
}

/** What native libraries write when they start, past their own log levels: nothing that a user could act on, or what is told in the error that follows. */
const NOISE = [
  /^WARNING: All log messages before absl::InitializeLog\(\)/,
  /^I0000 .* oneDNN custom operations are on/,
  /^Warning: Couldn't load Vulkan/,
  /^ +at .*\/dawn\/src\//,
  /^\s*$/,
];

/** Whether a line that a rank wrote is worth showing. */
export const isNews = (line: string): boolean => !NOISE.some((pattern) => pattern.test(line));
