/** The process of one rank, or of all of them as threads: its words and its end are heard from the start. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { EndedNeighbour } from '../protocol/step_plan.js';
import type { SpawnedRankNews, SpawnedWord, SpawnOrder } from '../rank/spawned_rank.js';

/** How the process of a rank ended. */
export interface RankExit {
  readonly rank: number | null;
  readonly pid: number | undefined;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** It left a job that goes on. Default false. */
  readonly hasLeft?: boolean;
}

/** What a rank's process is told, and who hears of it. */
export interface RankProcessOrders {
  readonly order: SpawnOrder;
  /** A line that it wrote to its standard output or error, before or after it was told. */
  readonly onLine?: ((line: string) => void) | undefined;
  /** `pid`: of its process. */
  readonly onNews?: ((news: SpawnedRankNews, pid: number | undefined) => void) | undefined;
}

/** What its process runs. */
const PROGRAM = [fileURLToPath(new URL('../cli.js', import.meta.url)), 'rank', '--spawned'];

/** A process that waits for its orders. One that can't be started is like one that ended at once, and says why. */
export class RankProcess {
  /** Resolves after its last line was heard. */
  readonly exit: Promise<RankExit>;
  private readonly child: ChildProcess | null;
  /** What it said before anybody asked. */
  private readonly kept: string[] = [];
  private hasLeft = false;
  private onLine = (line: string): void => void this.kept.push(line);

  /**
   * @param rank its number; null where the head gives one, until it has
   * @param program arguments of Node, before the rank's number
   */
  constructor(
    public rank: number | null,
    program: readonly string[] = PROGRAM,
  ) {
    // The number is for those who look at the list of processes.
    const number = rank === null ? [] : ['--rank', String(rank)];
    try {
      this.child = spawn(process.execPath, ['--no-warnings', ...program, ...number], {
        stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
      });
    } catch (error) {
      this.child = null;
      this.exit = Promise.resolve(this.notStarted(error));
      return;
    }
    this.exit = this.endOf(this.child);
    // Where no file can be opened any more, Node makes none of the streams.
    const { stdin, stdout, stderr } = this.child;
    stdin?.on('error', () => undefined);
    for (const stream of [stdout, stderr]) {
      if (stream) createInterface({ input: stream }).on('line', (line) => this.hear(line));
    }
  }

  /** Tells it what to do. Once. */
  begin({ order, onLine, onNews }: RankProcessOrders): void {
    this.onLine = onLine ?? ((): void => undefined);
    for (const line of this.kept.splice(0)) this.hear(line);
    this.child?.on('message', (message) => {
      const news = message as SpawnedRankNews;
      if (news.kind === 'left') this.hasLeft = true;
      if (news.kind === 'joined') this.rank = news.rank;
      onNews?.(news, this.child?.pid);
    });
    this.child?.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  /** Asks it to leave its job, where that goes on without it; otherwise it ends. Once it was told its orders. Asked again, it hears nothing new. */
  askToLeave(): void {
    this.say('leave');
  }

  /** That another rank of the same command ended, for its head. */
  tellOfEnd(ended: EndedNeighbour): void {
    this.say({ ended });
  }

  /** Nothing happens where it has ended. */
  kill(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  private say(word: SpawnedWord): void {
    this.child?.stdin?.write(`${JSON.stringify(word)}\n`);
  }

  private hear(line: string): void {
    if (isNews(line)) this.onLine(line);
  }

  private endOf(child: ChildProcess): Promise<RankExit> {
    return new Promise((resolve) => {
      child.once('error', (error) => resolve(this.notStarted(error)));
      // 'close' comes after the last line of output, so that a rank's own words are printed before its end is reported.
      child.once('close', (code, signal) => {
        const { rank, hasLeft } = this;
        resolve({ rank, pid: child.pid, code, signal, hasLeft });
      });
    });
  }

  private notStarted(error: unknown): RankExit {
    const why = error instanceof Error ? error.message : String(error);
    this.hear(
      `its process can't be started (${why}); raise the limits of open files and processes (ulimit -n, -u), free memory, or start fewer ranks`,
    );
    return { rank: this.rank, pid: undefined, code: 1, signal: null };
  }
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
const isNews = (line: string): boolean => !NOISE.some((pattern) => pattern.test(line));
