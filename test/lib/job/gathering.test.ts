import { expect } from 'chai';
import { Deadline } from '../../../comm/base/deadline.js';
import type { RemoteError } from '../../../comm/base/errors.js';
import { Gathering } from '../../../lib/job/gathering.js';
import type { GatherReport } from '../../../lib/protocol/step_plan.js';

const VERSION = 7;
const LONG_MS = 60_000;

/** Ranks that read what they take over, as far as the head hears of it. */
function gathering(ranks: readonly number[], timeoutMs = LONG_MS): { readonly gathering: Gathering; late: number[] } {
  const late: number[] = [];
  return { gathering: new Gathering({ version: VERSION, ranks, timeoutMs, onLate: (rank) => late.push(rank) }), late };
}

const left = (numLeft: number, more: Partial<GatherReport> = {}): GatherReport => ({
  version: VERSION,
  numLeft,
  ...more,
});
const ERROR: RemoteError = { code: 'READ_FAILED', reason: 'no such file', advice: '', blames: [] };

describe('experts that ranks take over while no step runs', () => {
  it('are there when every rank has read the last of its own', async () => {
    const { gathering: own } = gathering([0, 2]);
    let isOver = false;
    void own.outcome.then(() => (isOver = true));
    for (const [rank, report] of [
      [0, left(1)],
      [0, left(0)],
      [2, { ...left(0), version: VERSION - 1 }], // of an order that is over
      [1, left(0)], // nobody asked it
      [0, left(0)], // once more
    ] as const) {
      own.hear(rank, report);
      await Promise.resolve();
      expect(isOver).to.equal(false);
    }
    own.hear(2, left(0));
    expect(await own.outcome).to.deep.equal({ kind: 'done', failures: [] });
  });

  it("that some can't take are told with why, and with how many there is room for, when all have answered", async () => {
    const { gathering: own } = gathering([0, 1, 2]);
    own.hear(1, left(3, { error: ERROR, room: 2 }));
    own.hear(0, left(1, { error: ERROR }));
    own.hear(2, left(0));
    const failures = [
      { rank: 1, error: ERROR, room: 2 },
      { rank: 0, error: ERROR, room: null },
    ];
    expect(await own.outcome).to.deep.equal({ kind: 'done', failures });
  });

  it('are waited for as long as each of them may take: a rank that says nothing is told of, others are not', async () => {
    const { gathering: own, late } = gathering([0, 1, 2], 50);
    own.hear(0, left(0));
    while (late.length === 0) {
      own.hear(2, left(1)); // one after the other
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(late).to.deep.equal([1]);
    own.abandon();
  });

  it('are for nothing when an epoch begins, and nobody is late any more', async () => {
    const { gathering: own, late } = gathering([0, 1], 20);
    own.abandon();
    expect(await own.outcome).to.deep.equal({ kind: 'abandoned' });
    own.hear(0, left(0));
    await new Promise<void>((resolve) => new Deadline(40, resolve));
    expect(late).to.deep.equal([]);
  });

  it('that are waited for when the job ends, end with its error', async () => {
    const { gathering: own } = gathering([0]);
    const error = new Error('the job is over');
    own.fail(error);
    expect(await own.outcome.catch((thrown: unknown) => thrown)).to.equal(error);
  });
});
