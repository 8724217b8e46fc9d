import { expect } from 'chai';
import type { Answered, Failure } from '../../../bench/serve/client/outcome.js';
import { cachedFigures } from '../../../bench/serve/figures/cached_tokens.js';
import { distributionOf, percentile } from '../../../bench/serve/figures/distribution.js';
import { figuresOf, latenciesOf } from '../../../bench/serve/figures/figures.js';
import { overTime } from '../../../bench/serve/figures/over_time.js';
import { isCompleted, type RequestRecord } from '../../../bench/serve/figures/record.js';

const TELL = { percentiles: [50, 99], targets: null };

interface Given extends Partial<RequestRecord> {
  readonly chunks?: readonly number[];
  readonly usage?: Answered['usage'];
  readonly tokenIds?: readonly number[];
}

/** A request that was sent at `startMs` and whose chunks arrived at these times. */
function answered(
  startMs: number,
  chunks: readonly number[],
  { usage = null, tokenIds, ...given }: Given = {},
): RequestRecord {
  const answer = { chunkMs: chunks, usage, text: '', tokenIds: tokenIds ?? null };
  return {
    ...{ conversation: 0, turn: 0, plannedMs: startMs, allowedMs: startMs, startMs, endMs: chunks.at(-1)! },
    ...{ promptIds: null, hasLaterTurns: false, answer, failure: null },
    ...given,
  };
}

function failed(startMs: number, endMs: number, failure: Failure): RequestRecord {
  return { ...answered(startMs, [endMs]), answer: null, failure };
}

const usage = (promptTokens: number, completionTokens: number, cachedTokens: number | null = null) => ({
  ...{ promptTokens, completionTokens, cachedTokens },
});

describe('figures of a load', () => {
  it('TTFT, TPOT, ITL and E2EL of a hand-made timeline', () => {
    const records = [
      answered(100, [150, 160, 190], { usage: usage(10, 3) }),
      answered(200, [300], { usage: usage(20, 1) }),
    ];
    expect(latenciesOf(records.filter(isCompleted))).to.deep.equal({
      ttft: [50, 100],
      tpot: [20], // (190 − 150) / 2; one token has none
      itl: [10, 30],
      e2el: [90, 100],
    });
    const figures = figuresOf(records, 2000, TELL);
    expect(figures.inputTokens).to.equal(30);
    expect(figures.outputTokens).to.equal(4);
    expect(figures.requestThroughput).to.equal(1);
    expect(figures.outputThroughput).to.equal(2);
    expect(figures.totalThroughput).to.equal(17);
    expect(figures.requestGoodput).to.equal(null);
    expect(figures.latencies.ttft).to.deep.include({ mean: 75, median: 75, std: 25, max: 100 });
  });

  it('several tokens in one chunk are one gap, but count for TPOT and throughput', () => {
    const figures = figuresOf([answered(0, [10, 50], { usage: usage(1, 5) })], 1000, TELL);
    expect(figures.latencies.itl!.count).to.equal(1);
    expect(figures.latencies.itl!.mean).to.equal(40);
    expect(figures.latencies.tpot!.mean).to.equal(10);
    expect(figures.outputThroughput).to.equal(5);
    expect(figures.peakOutputThroughput).to.equal(5);
  });

  it('without usage tokens are counted by ids or by chunks, and the latter is told', () => {
    const byIds = answered(0, [1, 2], { tokenIds: [4, 5, 6] });
    const byChunks = answered(0, [1, 2]);
    const figures = figuresOf([byIds, byChunks], 1000, TELL);
    expect([figures.outputTokens, figures.numCountedByChunks]).to.deep.equal([5, 1]);
  });

  it('failed requests count for nothing but failures and concurrency: not as fast ones', () => {
    const full = { kind: 'http', reason: '429 full' } as const;
    const records = [
      answered(0, [100, 200], { usage: usage(5, 2) }),
      failed(0, 1, full),
      failed(50, 51, full),
      failed(60, 90, { kind: 'cut', reason: 'gone' }),
    ];
    const figures = figuresOf(records, 1000, { ...TELL, targets: { e2el: 10_000 } });
    expect([figures.numCompleted, figures.numFailed, figures.numGood]).to.deep.equal([1, 3, 1]);
    expect(figures.failures).to.deep.equal([{ ...full, count: 2 }, { kind: 'cut', reason: 'gone', count: 1 }]); // prettier-ignore
    expect(figures.latencies.ttft).to.deep.include({ count: 1, mean: 100 });
    expect(figures.latencies.e2el!.max).to.equal(200);
    expect(figures.outputTokens).to.equal(2);
    expect(figures.peakConcurrency).to.equal(2);
  });

  it('goodput counts requests that meet all targets; a bound belongs to the good side', () => {
    const records = [
      answered(0, [50, 150], { usage: usage(1, 2) }), // ttft 50, tpot 100, e2el 150
      answered(0, [60, 150], { usage: usage(1, 2) }), // ttft too long
      answered(0, [50, 151], { usage: usage(1, 2) }), // tpot too long
      answered(0, [50], { usage: usage(1, 1) }), // no tpot: it has nothing to miss
    ];
    const figures = figuresOf(records, 500, { ...TELL, targets: { ttft: 50, tpot: 100 } });
    expect([figures.numGood, figures.requestGoodput]).to.deep.equal([2, 4]);
  });

  it('nothing answered gives no latency, rather than zero', () => {
    const figures = figuresOf([failed(0, 1, { kind: 'timeout', reason: 'x' })], 1000, TELL);
    expect(figures.latencies).to.deep.equal({ ttft: null, tpot: null, itl: null, e2el: null });
    expect([figures.peakOutputThroughput, figures.requestThroughput]).to.deep.equal([0, 0]);
  });

  it('a request that ends as another starts is not concurrent with it', () => {
    const records = [answered(0, [10]), answered(10, [20]), answered(15, [30])];
    expect(figuresOf(records, 30, TELL).peakConcurrency).to.equal(2);
  });

  it('percentiles lie between the nearest values, as numpy has them', () => {
    expect([0, 25, 50, 90, 100].map((percent) => percentile([1, 2, 3, 4], percent))).to.deep.equal([
      1, 1.75, 2.5, 3.7, 4,
    ]);
    expect(distributionOf([], [50])).to.equal(null);
    expect(distributionOf([3], [99])!.percentiles).to.deep.equal([[99, 3]]);
  });

  it('over time: requests in flight on average, and tokens when they come', () => {
    const parts = overTime([answered(0, [500, 1500], { usage: usage(1, 4) }), answered(500, [1000])], 2000, 2);
    expect(parts).to.deep.equal([
      { atMs: 0, numRunning: 1.5, tokensPerS: 2 },
      { atMs: 1000, numRunning: 0.5, tokensPerS: 3 },
    ]);
  });
});

describe('cached tokens of a load', () => {
  const ids = (...list: readonly number[]): Int32Array => Int32Array.from(list);

  it('by token ids: full blocks of earlier prompts, of which the last token is computed anyway', () => {
    const records = [
      answered(0, [1], { promptIds: ids(1, 2, 3, 4, 5), tokenIds: [6, 7, 8], usage: usage(5, 3, 0) }),
      answered(2, [3], { promptIds: ids(1, 2, 3, 4), usage: usage(4, 1, 2) }),
      answered(4, [5], { promptIds: ids(1, 2, 3, 4, 5, 6, 7, 9), usage: usage(8, 1, 4) }),
      answered(6, [7], { promptIds: ids(2, 3, 4, 5), usage: usage(4, 1, 0) }),
    ];
    expect(cachedFigures(records, 2)).to.deep.equal({
      measured: { cachedTokens: 6, promptTokens: 21 },
      // The second prompt has 2 of 4 (its last block is computed), the third 4 of the first prompt, and 6 with its answer but for the last token.
      ideal: { ofPrompts: 2 + 4, ofAnswers: 2 + 6, promptTokens: 21 },
    });
  });

  it('by the lengths of turns, where prompts are texts', () => {
    const turn = (conversation: number, index: number, startMs: number, prompt: number, completion: number) =>
      answered(startMs, [startMs + 1], {
        ...{ conversation, turn: index, hasLaterTurns: index === 0, usage: usage(prompt, completion, 0) },
      });
    const records = [turn(0, 0, 0, 10, 9), turn(1, 0, 1, 20, 3), turn(1, 1, 5, 24, 3), turn(0, 1, 6, 30, 2)];
    expect(cachedFigures(records, 4).ideal).to.deep.equal({
      ofPrompts: 20 + 8,
      ofAnswers: 20 + 16, // of 22 and 18 tokens
      promptTokens: 84,
    });
  });

  it('nobody knows what single texts share, or what a server cached that does not say', () => {
    expect(cachedFigures([answered(0, [1], { usage: usage(5, 1) })], 4)).to.deep.equal({ measured: null, ideal: null });
  });
});
