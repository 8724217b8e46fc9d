/** Blocks of this instance that others of its cluster may read. */
import { timingSafeEqual } from 'node:crypto';
import { shown } from '../../../base/foreign_text.js';
import type { Loan } from '../../head/kv/loan.js';
import { ApiError } from '../base/api_error.js';
import type { MovingEngine, ServedEngine } from '../base/served_engine.js';
import { keyOfHex, type MatchAnswer, type MatchBody } from './loan_messages.js';

/** By their ids. */
export class Loans {
  private readonly loans = new Map<string, Loan>();

  constructor(
    private readonly engine: Pick<ServedEngine, 'limits'> & Pick<MovingEngine, 'kvIdentity' | 'lend'>,
    private readonly timeoutMs: number,
  ) {}

  /** Lends the beginning of these keys that one rank has, where blocks are what they are to whoever asks. @throws EngineError QUEUE_FULL */
  match({ identity, keys }: MatchBody): MatchAnswer {
    this.forgetOver();
    const { kvIdentity, limits } = this.engine;
    const { fingerprint, sharing, block_size: blockSize } = identity;
    const isAlike = kvIdentity.fingerprint === fingerprint && kvIdentity.sharing === sharing;
    const loan = isAlike && blockSize === limits.blockSize ? this.engine.lend(keys.map(keyOfHex)) : null;
    if (loan === null) return { num_blocks: 0 };
    this.loans.set(loan.lease.id, loan);
    const { numBlocks: num_blocks, lease, place } = loan;
    return { num_blocks, lease, place, timeout_ms: this.timeoutMs };
  }

  /** @throws ApiError INVALID_API_KEY: there is none, or the token is another's */
  find(id: string, token: string | null): Loan {
    const loan = this.loans.get(id);
    if (loan !== undefined && token !== null && isSame(loan.lease.token, token)) return loan;
    const text = `there is no loan ${shown(id)} with that token; send Authorization: Bearer TOKEN with the loan's own`;
    throw new ApiError('INVALID_API_KEY', text);
  }

  /** The engine has a limit for those that are open. */
  private forgetOver(): void {
    for (const [id, { end }] of this.loans) if (end !== null) this.loans.delete(id);
  }
}

/** Takes as long for every token. */
function isSame(own: string, given: string): boolean {
  const [a, b] = [Buffer.from(own), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}
