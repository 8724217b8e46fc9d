import { expect } from 'chai';
import { handoverRow, type HandoverTrial } from '../../../bench/cluster/measure_handover.js';
import { migrationRow, moveTrials } from '../../../bench/cluster/measure_migration.js';
import { loadFigures, routingRow } from '../../../bench/cluster/measure_routing.js';
import { checkTokens, type Measured } from '../../../bench/base/measured.js';
import { section } from '../../../bench/base/measured_text.js';
import { routerRow } from '../../../bench/cluster/measure_router.js';
import { BenchError } from '../../../bench/base/errors.js';
import type { RequestRecord } from '../../../bench/serve/figures/record.js';
import { errorOf } from '../../kit/rejects.js';

const measured = (changed: number): Measured => ({
  ...{ formula: 'a / b', baseline: 'b', aim: 'less', answers: 4, changed },
  rows: [{ load: 'turns', hidden_share: 0.856, ratio: 2, ms: 1.25, tokens: 256 }],
});

describe('figures of many instances', () => {
  it('tell how long a move holds a stream up beside its quiet steps, the first of which does not count', () => {
    const atMs = [0, 30, 34, 38, 62, 66, 70, 74];
    const moves = [{ fromMs: 40, toMs: 65 }];
    expect(moveTrials(atMs, moves)).to.deep.equal([{ stepMs: 4, downMs: 20, tookMs: 25 }]);
    const trial = (downMs: number) => ({ stepMs: 4, downMs, tookMs: 25 });
    const row = migrationRow(256, { stopped: [trial(40), trial(48)], live: [trial(2), trial(6)] });
    expect(row).to.deep.equal({
      ...{ tokens: 256, step_ms: 4, stopped_ms: 44, stopped_steps: 11, live_ms: 4, live_steps: 1 },
      ...{ most_live_steps: 1.5, move_ms: 25, ratio: 11 },
    });
  });

  it('tell which part of a handover is hidden behind the prompt, and whether bytes are those of the formula', () => {
    const trial = (firstMs: number, secondMs: number, numBytes: number): HandoverTrial => ({
      ...{ tokenIds: [], firstMs, secondMs, numBytes },
    });
    const trials = {
      ...{ alone: [trial(100, 4, 0)], bulk: [trial(100, 24, 1000)], streamed: [trial(110, 9, 900)] },
    };
    expect(handoverRow(10, trials, 100, 50_000)).to.deep.equal({
      ...{ tokens: 10, first_ms: 100, first_streamed_ms: 110, link_ms: 20, alone_ms: 4, bulk_ms: 24, streamed_ms: 9 },
      ...{ hidden_share: 0.75, bytes_ratio: 0.9 },
    });
  });

  it('tell what prompts were computed that one cache would have had', async () => {
    const record = (cachedTokens: number | null, ttft: number): RequestRecord => ({
      ...{ conversation: 0, turn: 0, plannedMs: 0, allowedMs: 0, startMs: 10, endMs: 90, promptIds: null },
      ...{ hasLaterTurns: false, failure: null },
      answer: {
        ...{ chunkMs: [10 + ttft], text: '', tokenIds: null },
        usage: { promptTokens: 64, completionTokens: 1, cachedTokens },
      },
    });
    const one = loadFigures([record(0, 20), record(32, 10)]);
    expect(one).to.deep.equal({ requests: 2, promptTokens: 128, computedTokens: 96, ttftMs: 15 });
    const other = { ...one, computedTokens: 120, ttftMs: 30 };
    expect(routingRow('turns', 'kv', other, one)).to.include({ computed_ratio: 1.25, ttft_ratio: 2 });
    await errorOf(BenchError, () => loadFigures([record(null, 1)]));
    const failure = { kind: 'http', reason: '503' } as const;
    const failed: RequestRecord = { ...record(0, 1), answer: null, failure };
    expect((await errorOf(BenchError, () => loadFigures([record(0, 1), failed]))).message).to.contain('http: 503');
  });

  it('tell what a router adds to tokens and requests', () => {
    const direct = { lateMs: [0.1, 0.1, 0.3], requestMs: [1, 1, 2], cpuTokenMs: 0, cpuRequestMs: 0 };
    const routed = { lateMs: [0.15, 0.15, 0.5], requestMs: [1.5, 1.5, 2], cpuTokenMs: 0.05, cpuRequestMs: 0.4 };
    const row = routerRow('own', [direct], [routed]);
    expect(row.added_token_us).to.be.closeTo(50, 1e-6);
    expect(row.added_p99_us).to.be.closeTo(200, 1e-6);
    expect(row).to.include({ cpu_token_us: 50, added_request_ms: 0.5, cpu_request_ms: 0.4 });
  });

  it('are printed with formula, baseline and aim, and fail where an answer was changed', async () => {
    const text = section('handover', measured(1));
    for (const each of ['a / b', 'baseline: b', 'aim: less', '86 %', '2.00x', '1.25', '3 of 4 answers'])
      expect(text).to.contain(each);
    checkTokens([measured(0)], 7);
    const error = await errorOf(BenchError, () => checkTokens([measured(0), measured(2)], 7));
    expect([error.code, error.message]).to.satisfy(
      ([code, message]: string[]) => code === 'TOKENS_DIFFER' && message!.includes('--seed 7'),
    );
  });
});
