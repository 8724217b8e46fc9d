/** Blocks of a lift that other ranks have: of this job, or of other instances. Why: docs/decisions/kv_store.md#a-loan-holds-nothing */
import { remoteMessage } from '../../../comm/base/errors.js';
import type { KvLoan } from '../../protocol/kv_loan.js';
import type { BlockNumbers } from '../kv/kv_costs.js';
import type { Lending } from '../kv/lending.js';
import type { BlockSource, LiftPart, LoanSource, RankSource } from '../kv/lift.js';
import { Patience } from '../kv/patience.js';
import type { PoolCounter, PoolOrigin } from '../kv/pool_counts.js';
import type { ToldOnce } from '../kv/told_once.js';
import type { Pulls } from './pulls.js';

/** What fetches run on. */
export interface FetchesParts {
  readonly pulls: Pick<Pulls, 'fetch'>;
  readonly lending: Pick<Lending, 'lendFrom'>;
  readonly counts: Pick<PoolCounter, 'fetched'>;
  /** So many blocks came, and took so long. */
  readonly onBrought: (blocks: BlockNumbers, ms: number) => void;
  /** How long so many may take. */
  readonly loadMs: (blocks: BlockNumbers) => number;
  /** Why a place's blocks don't come, once until some do. */
  readonly trouble: ToldOnce;
}

/** Nothing comes any more. */
class InVain extends Error {}

/** Has ranks read from others. */
export class Fetches {
  constructor(private readonly parts: FetchesParts) {}

  /** From ranks of this job. */
  readonly ofRanks: BlockSource<RankSource> = { bring: (part, signal) => this.fromRank(part, signal) };
  /** From instances that lent them. */
  readonly ofLoans: BlockSource<LoanSource> = { bring: (part, signal) => this.fromLoan(part, signal) };

  private async fromRank(part: LiftPart<RankSource>, signal: AbortSignal): Promise<number> {
    const keys = part.blocks.map(({ key }) => key);
    const loan = this.parts.lending.lendFrom(part.source.rank, keys);
    if (loan === null) return 0;
    try {
      return await this.fetch('rank', { ...part, blocks: part.blocks.slice(0, loan.numBlocks) }, loan, 0, signal);
    } finally {
      loan.close();
    }
  }

  /** What a loan is for is over then. */
  private async fromLoan(part: LiftPart<LoanSource>, signal: AbortSignal): Promise<number> {
    const { loan } = part.source;
    try {
      return loan.numBlocks === 0 ? 0 : await this.fetch('instance', part, loan, part.first, signal);
    } finally {
      loan.close();
    }
  }

  private async fetch(
    origin: PoolOrigin,
    { rank, blocks, states }: LiftPart<RankSource | LoanSource>,
    { lease, place }: Pick<KvLoan, 'lease' | 'place'>,
    first: number,
    signal: AbortSignal,
  ): Promise<number> {
    const { pulls, counts, onBrought, loadMs, trouble } = this.parts;
    const from = `${place.host}:${place.port}`;
    const fails = (why: string): void => {
      counter.numFailed++;
      trouble.failed(from, `rank ${rank} can't read KV blocks at ${from} (${why}): they are computed`);
    };
    const inVain = new AbortController();
    const patience = new Patience(loadMs({ [origin]: blocks.length }), () => inVain.abort(new InVain()));
    const wanted = blocks.map((each, i) => ({ ...each, hasState: states[i]! }));
    const counter = counts.fetched[origin];
    counter.numFetches++;
    patience.begin();
    try {
      const order = { lease, place, first, blocks: wanted };
      const report = await pulls.fetch(rank, order, AbortSignal.any([signal, inVain.signal]));
      const { numBlocks = 0, payloadBytes, tookMs } = report;
      counter.numBlocks += numBlocks;
      counter.numBytes += payloadBytes;
      if (numBlocks > 0) trouble.worked(from);
      if (numBlocks < blocks.length)
        fails(report.error === undefined ? 'some are not there' : remoteMessage(report.error));
      else onBrought({ [origin]: numBlocks }, tookMs);
      return numBlocks;
    } catch (error) {
      if (!(error instanceof InVain)) {
        counter.numFailed++;
        throw error;
      }
      fails('nothing came in time');
      return 0;
    } finally {
      patience.end();
    }
  }
}
