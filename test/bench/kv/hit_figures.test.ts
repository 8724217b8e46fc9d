import { expect } from 'chai';
import { BenchError } from '../../../bench/base/errors.js';
import { hitFigures } from '../../../bench/kv/measure_hits.js';
import type { RequestRecord } from '../../../bench/serve/figures/record.js';
import { errorOf } from '../../kit/rejects.js';

const PROMPT = Int32Array.from({ length: 40 }, (_, i) => i);

const record = (startMs: number, cachedTokens: number | null): RequestRecord => ({
  ...{ conversation: startMs, turn: 0, plannedMs: 0, allowedMs: 0, startMs, endMs: startMs + 9, promptIds: PROMPT },
  ...{ hasLaterTurns: false, failure: null },
  answer: {
    ...{ chunkMs: [startMs + 5], text: '', tokenIds: null },
    usage: { promptTokens: 40, completionTokens: 1, cachedTokens },
  },
});

describe('figures of hits', () => {
  it('are cached tokens beside those of a cache without end', () => {
    // Of 40 tokens in blocks of 8 the second and the third request can find four blocks each, for one token is always computed.
    const figures = hitFigures([record(0, 0), record(1, 32), record(2, 16)], 8);
    expect(figures).to.deep.equal({
      ...{ requests: 3, prompt_tokens: 120, hit_share: 48 / 120, bound_share: 64 / 120, hit_ratio: 0.75, ttft_ms: 5 },
    });
  });

  it('are refused where a request failed, or usage tells nothing', async () => {
    await errorOf(BenchError, () => hitFigures([record(0, null)], 8));
    const failure = { kind: 'http', reason: '503' } as const;
    const failed: RequestRecord = { ...record(1, 0), answer: null, failure };
    expect((await errorOf(BenchError, () => hitFigures([record(0, 0), failed], 8))).message).to.contain('http: 503');
  });
});
