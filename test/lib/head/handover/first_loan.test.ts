import { expect } from 'chai';
import { firstLoan } from '../../../../lib/head/handover/first_loan.js';
import { MAX_LOAN_BLOCKS } from '../../../../lib/head/kv/lending.js';
import type { BlockHolder, BorrowedBlocks } from '../../../../lib/protocol/kv_loan.js';

const KEYS = ['a', 'b', 'c', 'd'];
const TIMES = { nextMs: 5, allMs: 40 };
const NEVER = new AbortController().signal;

/** Answers when it is told to, or is asked no more. */
class PlayedHolder implements BlockHolder {
  readonly asked: (readonly string[])[] = [];
  numClosed = 0;
  isLeft = false;
  private answer: (numBlocks: number | null) => void = () => undefined;

  /** `numBlocks`: that it has at once; null: it can't be asked; undefined: it waits. */
  constructor(private readonly numBlocks?: number | null) {}

  match(keys: readonly string[], signal: AbortSignal): Promise<BorrowedBlocks | null> {
    this.asked.push(keys);
    signal.addEventListener('abort', () => (this.isLeft = true));
    return new Promise((resolve, reject) => {
      this.answer = (numBlocks) => (numBlocks === null ? reject(new Error('gone')) : resolve(this.loan(numBlocks)));
      if (this.numBlocks !== undefined) this.answer(this.numBlocks);
    });
  }

  say(numBlocks: number): void {
    this.answer(numBlocks);
  }

  private loan(numBlocks: number): BorrowedBlocks | null {
    if (numBlocks === 0) return null;
    const place = { host: 'h', port: 1 };
    return { lease: { id: '', token: '' }, place, numBlocks, renew: () => undefined, close: () => this.numClosed++ };
  }
}

const asked = (holders: readonly PlayedHolder[], numHere = 1, signal = NEVER) =>
  firstLoan(holders, KEYS, () => numHere, signal, TIMES);
const settled = () => new Promise((resolve) => setTimeout(resolve, 1));

describe('the first loan', () => {
  it('is of the first that has more than is here; nobody behind it is asked', async () => {
    const holders = [new PlayedHolder(null), new PlayedHolder(0), new PlayedHolder(1), new PlayedHolder(3), new PlayedHolder(4)]; // prettier-ignore
    expect(await asked(holders)).to.include({ numBlocks: 3 });
    await settled();
    expect(holders.map((each) => each.asked.length)).to.deep.equal([1, 1, 1, 1, 0]);
    expect(
      holders.map((each) => each.numClosed),
      'what is no more is given back',
    ).to.deep.equal([0, 0, 1, 0, 0]);
  });

  it('is none where nobody has more, or all is here', async () => {
    expect(await asked([new PlayedHolder(1), new PlayedHolder(null)])).to.equal(null);
    const holder = new PlayedHolder(4);
    expect(await asked([holder], 4)).to.equal(null);
    expect(holder.asked).to.deep.equal([]);
  });

  it('waits for nobody: the next one is asked beside one that says nothing, and what that lends later is closed', async () => {
    const [silent, quick] = [new PlayedHolder(), new PlayedHolder(3)];
    expect(await asked([silent, quick])).to.include({ numBlocks: 3 });
    expect(silent.isLeft).to.equal(true);
    silent.say(4);
    await settled();
    expect([silent.numClosed, quick.numClosed]).to.deep.equal([1, 0]);
  });

  it('comes of one that is slow, if nobody else has any', async () => {
    const [slow, empty] = [new PlayedHolder(), new PlayedHolder(0)];
    const coming = asked([slow, empty]);
    while (empty.asked.length === 0) await settled();
    slow.say(4);
    expect(await coming).to.include({ numBlocks: 4 });
  });

  it('is given up after one time for all of them, and when its caller goes', async () => {
    const holders = [new PlayedHolder(), new PlayedHolder(), new PlayedHolder()];
    expect(await asked(holders)).to.equal(null);
    expect(holders.map(({ isLeft }) => isLeft)).to.deep.equal([true, true, true]);
  });

  it('is asked for no more keys than anybody lends', async () => {
    const holder = new PlayedHolder(2);
    const many = Array.from({ length: MAX_LOAN_BLOCKS + 1 }, (_, i) => String(i));
    await firstLoan([holder], many, () => 0, NEVER, TIMES);
    expect(holder.asked[0]).to.have.length(MAX_LOAN_BLOCKS);
  });
});
