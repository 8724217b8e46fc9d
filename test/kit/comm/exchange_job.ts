/** Rank processes of an all-to-all without head or model, each told what to do and asked what came of it. */
import { expect } from 'chai';
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ExchangeSetup } from './all_to_all.js';
import type { Command, Reply } from './exchange_rank.js';

const MAIN = fileURLToPath(new URL('./exchange_rank.js', import.meta.url));

export type Address = { readonly host: string; readonly port: number };

export interface ExchangeJobOptions extends Partial<Omit<ExchangeSetup, 'rank' | 'size'>> {
  readonly size: number;
  /** What rank `from` dials to reach rank `to`, which listens at `address`. Default: that address. */
  readonly routeOf?: (from: number, to: number, address: Address) => Promise<Address>;
}

const DEFAULTS: Omit<ExchangeSetup, 'rank' | 'size' | 'numTokens'> = {
  ...{ hidden: 8, numTopk: 3, slotsPerRank: 2, seed: 1 },
  ...{ reduce: 'source', wire: {}, onPeerLoss: 'fail', timeoutMs: 10_000 },
};

export class ExchangeJob {
  static async start(options: ExchangeJobOptions): Promise<ExchangeJob> {
    const { size, routeOf = (_from: number, _to: number, address: Address) => Promise.resolve(address) } = options;
    const numTokens = Array.from({ length: size }, (_, rank) => 5 + rank);
    const setup = { ...DEFAULTS, numTokens, ...options };
    const ranks = Array.from({ length: size }, (_, rank) => new RankProcess({ ...setup, rank }));
    const job = new ExchangeJob(setup, ranks);
    try {
      const ports = await Promise.all(ranks.map(async (rank) => (await rank.next()).port!));
      await Promise.all(
        ranks.map(async (rank, from) => {
          const routes = ports.map((port, to) => routeOf(from, to, { host: '127.0.0.1', port }));
          return rank.ask({ kind: 'open', addresses: await Promise.all(routes) });
        }),
      );
      return job;
    } catch (error) {
      await job.kill();
      throw error;
    }
  }

  private constructor(
    readonly setup: Omit<ExchangeSetup, 'rank'>,
    private readonly ranks: readonly RankProcess[],
  ) {}

  /** Tells one rank and waits for what comes of it. */
  ask(rank: number, command: Command): Promise<Reply> {
    return this.ranks[rank]!.ask(command);
  }

  /** Tells several ranks at once. */
  askAll(ranks: readonly number[], command: Command): Promise<Reply[]> {
    return Promise.all(ranks.map((rank) => this.ask(rank, command)));
  }

  signal(rank: number, signal: NodeJS.Signals): void {
    this.ranks[rank]!.child.kill(signal);
  }

  /** Ends those that still run, by asking, and checks that they end well. */
  async close(ranks: readonly number[]): Promise<void> {
    await Promise.all(ranks.map((rank) => this.ask(rank, { kind: 'close' })));
    for (const rank of ranks) expect(await this.ranks[rank]!.exited, `exit code of rank ${rank}`).to.equal(0);
    await this.kill();
  }

  /** Ends everything at once; for `finally`. */
  async kill(): Promise<void> {
    for (const { child } of this.ranks) child.kill('SIGKILL');
    await Promise.all(this.ranks.map(({ exited }) => exited));
  }
}

class RankProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  private readonly replies: Reply[] = [];
  private readonly waiting: ((reply: Reply) => void)[] = [];

  constructor(setup: ExchangeSetup) {
    this.child = fork(MAIN, [JSON.stringify(setup)], { execArgv: ['--expose-gc', '--no-warnings'] });
    this.exited = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.on('message', (reply: Reply) => {
      const waiting = this.waiting.shift();
      if (waiting === undefined) this.replies.push(reply);
      else waiting(reply);
    });
  }

  next(): Promise<Reply> {
    const reply = this.replies.shift();
    if (reply !== undefined) return Promise.resolve(reply);
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  ask(command: Command): Promise<Reply> {
    this.child.send(command);
    return this.next();
  }
}
