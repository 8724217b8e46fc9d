/** Asks instances that may have blocks for them. Why: docs/decisions/kv_store.md#the-router-names-who-has-a-prefix */
import { setTimeout as delay } from 'node:timers/promises';
import { MAX_LOAN_BLOCKS } from '../kv/lending.js';
import type { BlockHolder, BorrowedBlocks } from '../../protocol/kv_loan.js';

/** How long is waited. */
export interface AskingTimes {
  /** Before the next one is asked too. */
  readonly nextMs: number;
  /** For all of them together. */
  readonly allMs: number;
}

const TIMES: AskingTimes = { nextMs: 100, allMs: 2000 };

/** A question, and what came of it. */
type Answer = Promise<BorrowedBlocks | null>;

/**
 * What the first that answers lends of the beginning of these keys, if it is more than `numHere` of them. They are asked in their order, the next one beside those that are slow to
 * answer, until all had their time; null: none of them has more. What others lend is closed. `signal` ends it; who is asked hears of it.
 */
export async function firstLoan(
  holders: readonly BlockHolder[],
  keys: readonly string[],
  numHere: () => number,
  signal: AbortSignal,
  { nextMs, allMs }: AskingTimes = TIMES,
): Promise<BorrowedBlocks | null> {
  const wanted = keys.slice(0, MAX_LOAN_BLOCKS);
  const done = new AbortController();
  const asking = AbortSignal.any([signal, done.signal, AbortSignal.timeout(allMs)]);
  const answers: Answer[] = [];
  let loan: BorrowedBlocks | null = null;
  try {
    for (const [i, holder] of holders.entries()) {
      if (numHere() >= wanted.length || asking.aborted) break;
      answers.push(askedOne(holder, wanted, numHere, asking));
      const isLast = i === holders.length - 1;
      loan = await goodOf(answers, isLast ? allMs : nextMs, asking);
      if (loan !== null) break;
    }
    return loan;
  } finally {
    for (const answer of answers) void answer.then((each) => each !== loan && each?.close());
    done.abort();
  }
}

/** Null: it has no more, or can't be asked. */
async function askedOne(
  holder: BlockHolder,
  keys: readonly string[],
  numHere: () => number,
  signal: AbortSignal,
): Answer {
  const loan = await holder.match(keys, signal).catch(() => null);
  if (loan !== null && loan.numBlocks > numHere()) return loan;
  loan?.close();
  return null;
}

/** The first loan that comes; null: all of them have nothing, or the time is over. */
async function goodOf(answers: readonly Answer[], ms: number, signal: AbortSignal): Answer {
  const over = new AbortController();
  const loans = answers.map(async (answer) => (await answer) ?? Promise.reject(new Error('it has nothing')));
  const first = Promise.any(loans).catch(() => null);
  const late = delay(ms, null, { signal: AbortSignal.any([signal, over.signal]) }).catch(() => null);
  try {
    return await Promise.race([first, late]);
  } finally {
    over.abort();
  }
}
