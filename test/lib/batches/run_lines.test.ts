import { expect } from 'chai';
import type { BatchLine } from '../../../lib/batches/batch_line.js';
import { LINE_RETRIES, retryOf } from '../../../lib/batches/retry.js';
import type { LineAnswer, Row } from '../../../lib/batches/rows.js';
import { NotTaken, runLines, type LinesRun } from '../../../lib/batches/run_lines.js';

const linesOf = (num: number): BatchLine[] =>
  Array.from({ length: num }, (_, i) => ({ customId: String(i), url: '/v1/completions', body: {} }));

const answerOf = (status: number): LineAnswer => ({ status, requestId: 'r', body: {}, retryAfterMs: null });

/** Runs `num` lines; `play`: what becomes of a try, by line and its number from 0. */
async function ran(
  num: number,
  play: (customId: string, tryNumber: number) => number | Error,
  more: Partial<LinesRun> = {},
) {
  const rows: Row[] = [];
  const slept: number[] = [];
  const tries = new Map<string, number>();
  let numRunning = 0;
  let mostRunning = 0;
  const run: LinesRun = {
    lines: linesOf(num),
    concurrency: 2,
    signal: new AbortController().signal,
    send: async ({ customId }) => {
      mostRunning = Math.max(mostRunning, ++numRunning);
      await new Promise(setImmediate);
      numRunning--;
      const number = tries.get(customId) ?? 0;
      tries.set(customId, number + 1);
      const played = play(customId, number);
      if (played instanceof Error) throw played;
      return answerOf(played);
    },
    write: (row) => Promise.resolve(void rows.push(row)),
    sleep: (ms) => Promise.resolve(slept.push(ms)),
    ...more,
  };
  const error = await runLines(run).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return { rows, slept, tries, mostRunning, error };
}

describe('lines of a batch', () => {
  it('run some at a time, and each has its row', async () => {
    const { rows, mostRunning, error } = await ran(7, () => 200, { concurrency: 3 });
    expect(error).to.equal(null);
    expect(rows.map(({ customId }) => customId).sort()).to.deep.equal(['0', '1', '2', '3', '4', '5', '6']);
    expect(mostRunning).to.equal(3);
    expect(new Set(rows.map(({ text }) => (JSON.parse(text) as { id: string }).id)).size).to.equal(7);
  });

  it('wait for a server that is full or gone, longer and longer', async () => {
    const gone = new Error('refused');
    const played = [429, gone, 503, 503, 200];
    const { rows, slept } = await ran(1, (_id, number) => played[number]!);
    expect(rows.map(({ isSuccess }) => isSuccess)).to.deep.equal([true]);
    expect(slept).to.deep.equal([200, 400, 800, 1600]);
  });

  it('that fail in the server are tried twice more, and what it refuses never', async () => {
    const { rows, tries } = await ran(2, (id) => (id === '0' ? 502 : 400));
    expect(rows.map(({ isSuccess }) => isSuccess)).to.deep.equal([false, false]);
    expect([...tries]).to.have.deep.members([
      ['0', 3],
      ['1', 1],
    ]);
  });

  it('give up, with the reason, when nobody was there for long enough', async () => {
    const gone = new Error('connect ECONNREFUSED');
    const retries = { ...LINE_RETRIES, patienceMs: 1000 };
    const { rows, slept, error } = await ran(3, () => gone, { retries });
    expect([rows, error]).to.deep.equal([[], gone]);
    expect(Math.max(...slept)).to.equal(400);
  });

  it('give up without a row when the server had no room for long enough', async () => {
    const retries = { ...LINE_RETRIES, patienceMs: 1000 };
    for (const status of [429, 503]) {
      const { rows, error } = await ran(3, () => status, { retries });
      expect(rows).to.deep.equal([]);
      expect(error).to.be.instanceOf(NotTaken).with.property('message', `it answered ${status} for too long`);
    }
  });

  it('are broken off without a row, with the reason of the signal', async () => {
    const controller = new AbortController();
    const reason = new Error('cancelled');
    const play = (id: string): number => {
      if (id === '3') controller.abort(reason);
      return 200;
    };
    const { rows, error } = await ran(100, play, { signal: controller.signal, concurrency: 1 });
    expect(error).to.equal(reason);
    expect(rows.length).to.equal(4);
  });

  it('end when a row can’t be kept, and nothing new is begun', async () => {
    const full = new Error('ENOSPC');
    const { tries, error } = await ran(100, () => 200, { write: () => Promise.reject(full) });
    expect(error).to.equal(full);
    expect(tries.size).to.be.at.most(2);
  });
});

describe('whether a line is sent again', () => {
  const first = { numFailed: 0, numTries: 1, waitedMs: 0 };

  it('a server’s own wish for the wait counts, up to the longest wait', () => {
    const afterMs = (retryAfterMs: number): unknown => retryOf({ status: 429, retryAfterMs }, first, LINE_RETRIES);
    expect(afterMs(1000)).to.deep.equal({ kind: 'again', afterMs: 1000, isFailure: false });
    expect(afterMs(3_600_000)).to.deep.equal({ kind: 'again', afterMs: 10_000, isFailure: false });
  });

  it('the wait has a bound, however often', () => {
    const retry = retryOf(null, { ...first, numTries: 5000 }, LINE_RETRIES);
    expect(retry).to.deep.equal({ kind: 'again', afterMs: 10_000, isFailure: false });
  });
});
