/** What an engine lends of its blocks: to other ranks of its job, and to other instances. Why: docs/decisions/kv_store.md#a-loan-holds-nothing */
import type { HandoverRunner } from '../../job/step_runner.js';
import { EngineError } from '../../protocol/errors.js';
import type { LentBlock } from '../../protocol/handover.js';
import type { PoolCounter } from './pool_counts.js';
import { Loan, type LoanEnd } from './loan.js';

/** Loans that others may have open at a time; those between ranks are as many as sequences that wait for blocks. */
export const MAX_LOANS = 256;
/** Of one loan: 131,072 tokens in blocks of 16. */
export const MAX_LOAN_BLOCKS = 8192;

/** Who knows what ranks have. */
export interface LendableBlocks {
  /** Members whose blocks are known. */
  readonly ranks: readonly number[];
  /** The beginning of these keys that a rank has. They count as used now. */
  lendable(rank: number, keys: readonly string[]): readonly Lendable[];
  /** Some layers have states: a sequence begins behind a block alone that keeps one. */
  readonly hasStates: boolean;
}

/** A block that a rank has: in its cache, or, null, in a tier. */
export interface Lendable {
  readonly block: number | null;
  /** With the state behind its last token. */
  readonly hasState: boolean;
}

/** What lending works with. */
export interface LendingParts {
  readonly blocks: LendableBlocks;
  readonly ranks: Pick<HandoverRunner, 'handover' | 'kvDoorOf'>;
  /** How long a loan lasts without a sign of life. */
  readonly timeoutMs: number;
  readonly counts: PoolCounter;
  /** Calls `then` later, unless it is told otherwise by what this returns. Default: timers of this process. */
  readonly after?: (ms: number, then: () => void) => () => void;
}

/** Blocks that a rank is about to forget, or states that they keep. */
interface Forgotten {
  readonly rank: number;
  readonly blocks: readonly number[];
  readonly states?: readonly number[];
}

/** The loans of one engine. */
export class Lending {
  private readonly loans = new Set<Loan>();
  /** Those of them that others asked for. */
  private readonly asked = new Set<Loan>();
  /** By rank, those that lend a block of its cache. */
  private readonly byBlock = new Map<number, Map<number, Set<Loan>>>();

  constructor(private readonly parts: LendingParts) {}

  /** Open ones. */
  get size(): number {
    return this.loans.size;
  }

  /** The longest beginning of these keys that one rank has, as far as somebody can begin behind it; null: none has the first one, or nobody can read there. @throws EngineError QUEUE_FULL: too many loans are open */
  lend(keys: readonly string[]): Loan | null {
    const { blocks, ranks } = this.parts;
    const asked = keys.slice(0, MAX_LOAN_BLOCKS);
    const readable = blocks.ranks.filter((rank) => ranks.kvDoorOf(rank) !== null);
    let best: { readonly rank: number; readonly items: readonly Lendable[] } = { rank: -1, items: [] };
    for (const rank of readable) {
      const held = blocks.lendable(rank, asked);
      const items = blocks.hasStates ? held.slice(0, held.findLastIndex(({ hasState }) => hasState) + 1) : held;
      if (items.length > best.items.length) best = { rank, items };
    }
    if (best.items.length === 0) return null;
    if (this.asked.size >= MAX_LOANS) {
      throw new EngineError('QUEUE_FULL', `${MAX_LOANS} loans of KV blocks are open already; try again later`);
    }
    const loan = this.open(best.rank, asked, best.items);
    this.asked.add(loan);
    return loan;
  }

  /** The beginning of these keys that one rank has, for another one of this job. Null as {@link lend}. */
  lendFrom(rank: number, keys: readonly string[]): Loan | null {
    const { blocks, ranks } = this.parts;
    if (!blocks.ranks.includes(rank) || ranks.kvDoorOf(rank) === null) return null;
    const asked = keys.slice(0, MAX_LOAN_BLOCKS);
    const items = blocks.lendable(rank, asked);
    return items.length === 0 ? null : this.open(rank, asked, items);
  }

  /** Before a rank is told to forget blocks: who reads them reads no further. */
  forget({ rank, blocks, states = [] }: Forgotten): void {
    const byBlock = this.byBlock.get(rank);
    if (byBlock === undefined) return;
    for (const block of [...blocks, ...states]) for (const loan of byBlock.get(block) ?? []) loan.finish('evicted');
  }

  /** Who is left. */
  enter(present: ReadonlySet<number>): void {
    for (const loan of this.loans) if (!present.has(loan.terms.rank)) loan.finish('lost');
  }

  /** Nothing is lent any more. */
  close(): void {
    for (const loan of this.loans) loan.finish('lost');
  }

  private open(rank: number, keys: readonly string[], items: readonly Lendable[]): Loan {
    const { ranks, timeoutMs, after = afterOf } = this.parts;
    const blocks = items.flatMap(({ block }) => (block === null ? [] : [block]));
    const terms = { rank, place: ranks.kvDoorOf(rank)!, numBlocks: items.length, blocks, timeoutMs };
    const loan = new Loan(terms, { after, ended: (ended, end) => this.ended(ended, end) });
    this.loans.add(loan);
    this.index(loan);
    const lent = items.map(({ block }, i): LentBlock => ({ key: keys[i]!, block }));
    ranks.handover(rank, { kind: 'lend', lend: { ...loan.lease, items: lent } });
    this.parts.counts.numLoans++;
    this.parts.counts.numLentBlocks += items.length;
    return loan;
  }

  private index(loan: Loan): void {
    const { rank, blocks } = loan.terms;
    const byBlock = this.byBlock.get(rank) ?? new Map<number, Set<Loan>>();
    this.byBlock.set(rank, byBlock);
    for (const block of blocks) byBlock.set(block, (byBlock.get(block) ?? new Set()).add(loan));
  }

  private ended(loan: Loan, end: LoanEnd): void {
    const { rank, blocks } = loan.terms;
    this.loans.delete(loan);
    this.asked.delete(loan);
    const byBlock = this.byBlock.get(rank)!;
    for (const block of blocks) {
      const own = byBlock.get(block)!;
      own.delete(loan);
      if (own.size === 0) byBlock.delete(block);
    }
    if (byBlock.size === 0) this.byBlock.delete(rank);
    if (end === 'evicted') this.parts.counts.numEvictedLoans++;
    if (end === 'expired') this.parts.counts.numExpiredLoans++;
    this.parts.ranks.handover(rank, { kind: 'release', lease: loan.lease.id });
  }
}

function afterOf(ms: number, then: () => void): () => void {
  const timer = setTimeout(then, ms).unref();
  return () => clearTimeout(timer);
}
