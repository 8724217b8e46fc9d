/** What Prometheus gets to see, with a played engine and a played clock. */
import { expect } from 'chai';
import { epochOf } from '../../../kit/engine/epochs.js';
import { spawnSync } from 'node:child_process';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { Metrics } from '../../../../lib/server/telemetry/metrics.js';
import { RequestTracks } from '../../../../lib/server/telemetry/request_tracks.js';
import { PlayedSource } from '../../../kit/telemetry/played_source.js';
import { Scrape } from '../../../kit/telemetry/prometheus.js';

const MODEL = 'tiny "quoted" \\ model';

class Watched {
  nowMs = 1000;
  readonly metrics: Metrics;
  readonly tracks: RequestTracks;

  constructor(
    readonly engine = new PlayedSource(),
    isFull = false,
  ) {
    this.metrics = new Metrics(engine, { modelName: MODEL, isFull });
    this.tracks = new RequestTracks([this.metrics.requests], () => this.nowMs);
    engine.watch(this.metrics);
    engine.watch(this.tracks);
  }

  queue(sequence: number, numPromptTokens: number, maxNewTokens = 16): void {
    this.engine.news({ kind: 'queued', sequence, id: null, numPromptTokens, maxNewTokens });
  }

  admit(sequence: number, numCachedTokens = 0, rank = 0): void {
    this.engine.news({ kind: 'admitted', sequence, rank, numCachedTokens });
  }

  async scrape(): Promise<Scrape> {
    return new Scrape(await this.metrics.text());
  }
}

describe('metrics', () => {
  it('have vLLM’s names, labels and buckets', async () => {
    const scrape = await new Watched().scrape();
    const kinds: readonly [kind: string, names: string][] = [
      ['gauge', 'num_requests_running num_requests_waiting kv_cache_usage_perc'],
      ['counter', 'prefix_cache_queries_total prefix_cache_hits_total num_preemptions_total prompt_tokens_total'],
      ['counter', 'prompt_tokens_cached_total generation_tokens_total request_success_total'],
      ['histogram', 'time_to_first_token_seconds inter_token_latency_seconds e2e_request_latency_seconds'],
      ['histogram', 'request_queue_time_seconds request_prefill_time_seconds request_decode_time_seconds'],
      ['histogram', 'request_inference_time_seconds request_time_per_output_token_seconds iteration_tokens_total'],
      ['histogram', 'request_prompt_tokens request_generation_tokens request_max_num_generation_tokens'],
      ['histogram', 'request_params_max_tokens request_prefill_kv_computed_tokens'],
    ];
    for (const [kind, names] of kinds) {
      for (const name of names.split(' ')) expect(scrape.of(`vllm:${name}`).type, name).to.equal(kind.toUpperCase());
    }
    const bounds = (name: string): readonly number[] => scrape.histogram(`vllm:${name}`).bounds;
    expect(bounds('time_to_first_token_seconds')).to.deep.equal([
      ...[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640],
      ...[2560, Infinity],
    ]);
    expect(bounds('inter_token_latency_seconds')).to.deep.equal([
      ...[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, Infinity],
    ]);
    expect(bounds('e2e_request_latency_seconds')).to.deep.equal([
      ...[0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680, Infinity],
    ]);
    expect(bounds('request_prompt_tokens')).to.deep.equal([1, 2, 5, 10, 20, 50, 100, 200, 500, Infinity]);
    expect(scrape.text).to.match(/^# TYPE vllm:prompt_tokens_total counter$/m);
    const reasons = scrape.of('vllm:request_success_total').metrics.map(({ labels }) => labels!.finished_reason);
    expect(reasons).to.deep.equal(['stop', 'length', 'moved', 'abort', 'error']);
  });

  it('every sample names the model, however it is spelled', async () => {
    const { text } = await new Watched().scrape();
    const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(samples.length).to.be.above(100);
    for (const line of samples) expect(line).to.include('model_name="tiny \\"quoted\\" \\\\ model",engine="0"');
  });

  it('follow a request from arrival to its last token', async () => {
    const watched = new Watched();
    const { engine } = watched;
    watched.queue(0, 20, 3);
    watched.nowMs += 50;
    watched.admit(0, 16);
    watched.nowMs += 100;
    engine.step([[{ sequence: 0, numTokens: 4, isPrompt: true }]]);
    for (const gapMs of [20, 60]) {
      watched.nowMs += gapMs;
      engine.step([[{ sequence: 0, numTokens: 1, isPrompt: false }]]);
    }
    watched.nowMs += 5;
    engine.news({ kind: 'finished', sequence: 0, reason: 'length' });
    const scrape = await watched.scrape();
    const of = (name: string): readonly number[] => {
      const { count, sum } = scrape.histogram(`vllm:${name}`);
      return [count, Number(sum.toFixed(6))];
    };
    expect(of('time_to_first_token_seconds')).to.deep.equal([1, 0.15]);
    expect(of('inter_token_latency_seconds')).to.deep.equal([2, 0.08]);
    expect(of('request_time_per_output_token_seconds')).to.deep.equal([1, 0.04]);
    expect(of('e2e_request_latency_seconds')).to.deep.equal([1, 0.235]);
    expect(of('request_queue_time_seconds')).to.deep.equal([1, 0.05]);
    expect(of('request_prefill_time_seconds')).to.deep.equal([1, 0.1]);
    expect(of('request_decode_time_seconds')).to.deep.equal([1, 0.08]);
    expect(of('request_inference_time_seconds')).to.deep.equal([1, 0.18]);
    expect(of('request_prompt_tokens')).to.deep.equal([1, 20]);
    expect(of('request_prefill_kv_computed_tokens')).to.deep.equal([1, 4]);
    expect(of('request_generation_tokens')).to.deep.equal([1, 3]);
    expect(of('request_params_max_tokens')).to.deep.equal([1, 3]);
    expect(of('iteration_tokens_total')).to.deep.equal([3, 6]);
    expect(scrape.value('vllm:prompt_tokens_total')).to.equal(20);
    expect(scrape.value('vllm:prompt_tokens_cached_total')).to.equal(16);
    expect(scrape.value('vllm:generation_tokens_total')).to.equal(3);
    expect(scrape.value('vllm:request_success_total', { finished_reason: 'length' })).to.equal(1);
    expect(watched.tracks.size).to.equal(0);
  });

  it('a request that is given up or fails counts as such, and in no latency', async () => {
    const watched = new Watched();
    const { engine } = watched;
    const errors = [null, new EngineError('CLOSED', 'it went'), new EngineError('RANK_FAILED', 'it broke')];
    for (const [sequence, error] of errors.entries()) {
      watched.queue(sequence, 4);
      engine.news({ kind: 'ended', sequence, error });
    }
    const scrape = await watched.scrape();
    expect(scrape.value('vllm:request_success_total', { finished_reason: 'abort' })).to.equal(2);
    expect(scrape.value('vllm:request_success_total', { finished_reason: 'error' })).to.equal(1);
    expect(scrape.histogram('vllm:e2e_request_latency_seconds').count).to.equal(0);
    expect(watched.tracks.size).to.equal(0);
  });

  it('agree with the engine’s statistics', async () => {
    const watched = new Watched();
    const { engine } = watched;
    for (const [sequence, numTokens] of [30, 7].entries()) {
      watched.queue(sequence, numTokens);
      watched.admit(sequence, 0, sequence);
    }
    engine.step([[{ sequence: 0, numTokens: 20, isPrompt: true, samples: false }]]);
    engine.step([[{ sequence: 0, numTokens: 10, isPrompt: true }], [{ sequence: 1, numTokens: 7, isPrompt: true }]]);
    engine.step([[{ sequence: 0, numTokens: 1, isPrompt: false }], [{ sequence: 1, numTokens: 1, isPrompt: false }]]);
    const counts = { numPrefixQueries: 60, numPrefixHits: 48, numEvictedBlocks: 5 };
    engine.counts = { ...engine.counts, numPreempted: 3, numSharedTokens: 64, ...counts };
    const [scrape, stats] = [await watched.scrape(), engine.stats()];
    expect(stats).to.include({ numSteps: 3, numPromptTokens: 37, numOutputTokens: 4 });
    expect(scrape.value('expertwire:steps_total')).to.equal(3);
    expect(scrape.value('expertwire:prompt_tokens_computed_total')).to.equal(37);
    expect(scrape.value('vllm:prompt_tokens_total')).to.equal(37);
    expect(scrape.value('vllm:generation_tokens_total')).to.equal(4);
    expect(scrape.value('vllm:num_preemptions_total')).to.equal(3);
    expect(scrape.value('vllm:prefix_cache_queries_total')).to.equal(60);
    expect(scrape.value('vllm:prefix_cache_hits_total')).to.equal(48);
    expect(scrape.value('expertwire:evicted_kv_blocks_total')).to.equal(5);
    expect(scrape.value('expertwire:step_phase_seconds_total', { rank: '1', phase: 'experts' })).to.equal(0.006);
    expect(scrape.histogram('expertwire:step_seconds')).to.include({ count: 3 });
    const pair = { source: '1', destination: '0' };
    expect(scrape.value('expertwire:dispatch_bytes_total', pair)).to.equal(30);
    expect(scrape.value('expertwire:combine_bytes_total', pair)).to.equal(60);
    expect(scrape.value('expertwire:wait_seconds_total', pair)).to.equal(0.006);
    expect(scrape.of('expertwire:dispatch_bytes_total').metrics).to.have.length(2);
    expect(scrape.value('expertwire:balancedness', { layer: '1' })).to.equal(0.5);
    expect(scrape.value('expertwire:hottest_expert_ratio', { layer: '0' })).to.equal(4);
    expect(scrape.value('expertwire:rank_expert_tokens_total', { rank: '0' })).to.equal(78); // 39 tokens, two layers
    expect(scrape.value('expertwire:rank_peak_rss_bytes', { rank: '0' })).to.equal(5000);
  });

  it('show how fast ranks are, as soon as that is known', async () => {
    const watched = new Watched();
    const pace = (value: number | null) => ({
      ...{ pace: value, experts: value, own: value, capacity: 1, isSlow: false, waitShare: 0 },
    });
    watched.engine.speeds = [pace(null), pace(1.5)];
    const scrape = await watched.scrape();
    expect(scrape.value('expertwire:rank_pace', { rank: '1' })).to.equal(1.5);
    expect(scrape.of('expertwire:rank_pace').metrics).to.have.length(1);
  });

  it('show what waits, runs and holds KV blocks when they are scraped', async () => {
    const watched = new Watched();
    const [first, second] = watched.engine.load.ranks;
    watched.engine.load = {
      numWaiting: 7,
      ranks: [{ ...first!, numRunning: 2, numUsedBlocks: 5, numCachedBlocks: 2 }, second!],
      imbalance: { kvUse: 2, numRunning: 1.5, prefillTokens: 1 },
    };
    const scrape = await watched.scrape();
    expect(scrape.value('vllm:num_requests_waiting')).to.equal(7);
    expect(scrape.value('vllm:num_requests_running')).to.equal(2);
    expect(scrape.value('vllm:kv_cache_usage_perc')).to.equal(0.25);
    expect(scrape.value('expertwire:rank_kv_usage', { rank: '0' })).to.equal(0.5);
    const states = ['used', 'cached', 'free'].map((state) =>
      scrape.value('expertwire:kv_blocks', { rank: '0', state }),
    );
    expect(states).to.deep.equal([5, 2, 3]);
    expect(scrape.value('expertwire:kv_blocks', { rank: '1', state: 'free' })).to.equal(10);
    expect(scrape.value('expertwire:imbalance', { balancer: 'kv_use' })).to.equal(2);
    expect(scrape.value('expertwire:imbalance', { balancer: 'sequences' })).to.equal(1.5);
    watched.engine.load = { ...watched.engine.load, ranks: [first!] }; // rank 1 was lost
    const later = await watched.scrape();
    expect(later.of('expertwire:rank_kv_usage').metrics).to.have.length(1);
  });

  it('tell what lies in tiers, and what came from there, from other ranks and from other instances', async () => {
    const watched = new Watched();
    const { engine } = watched;
    expect((await watched.scrape()).of('expertwire:kv_tier_blocks').metrics, 'no tiers').to.have.length(0);
    const [first, second] = engine.load.ranks;
    const use = { tier: 'disk', numBlocks: 3, numBytes: 300, maxBytes: 1000 } as const;
    engine.load = { ...engine.load, ranks: [{ ...first!, numPinnedBlocks: 1, tiers: [use] }, second!] };
    const tier = { numLoaded: 2, loadedBytes: 200, numStored: 5, storedBytes: 500, numLost: 1 };
    const tiers = [
      { tier: 'ram', numQueries: 90, numHits: 20, ...tier },
      { tier: 'disk', numQueries: 70, numHits: 30, ...tier },
    ] as const;
    engine.counts = { ...engine.counts, numRefusedPins: 4, tiers };
    const instance = { numFetches: 4, numBlocks: 9, numBytes: 900, numFailed: 1 };
    const loans = { numLoans: 6, numLentBlocks: 11, numEvictedLoans: 2, numExpiredLoans: 1 };
    engine.pool = { ...engine.pool, ...loans, numHits: 8, fetched: { ...engine.pool.fetched, instance } };
    const scrape = await watched.scrape();
    expect(scrape.value('vllm:external_prefix_cache_queries_total')).to.equal(90);
    expect(scrape.value('vllm:external_prefix_cache_hits_total')).to.equal(20 + 30 + 8);
    expect(scrape.value('expertwire:kv_tier_blocks', { rank: '0', tier: 'disk' })).to.equal(3);
    expect(scrape.value('expertwire:kv_tier_bytes', { rank: '0', tier: 'disk' })).to.equal(300);
    expect(scrape.value('expertwire:kv_pinned_blocks', { rank: '0' })).to.equal(1);
    expect(scrape.value('expertwire:kv_refused_pins_total')).to.equal(4);
    expect(scrape.value('expertwire:kv_tier_queries_total', { tier: 'disk' })).to.equal(70);
    expect(scrape.value('expertwire:kv_tier_loaded_bytes_total', { tier: 'ram' })).to.equal(200);
    expect(scrape.value('expertwire:kv_fetches_total', { origin: 'instance', outcome: 'done' })).to.equal(3);
    expect(scrape.value('expertwire:kv_fetches_total', { origin: 'instance', outcome: 'failed' })).to.equal(1);
    expect(scrape.value('expertwire:kv_fetched_bytes_total', { origin: 'instance' })).to.equal(900);
    expect(scrape.value('expertwire:kv_loans_total', { outcome: 'ended' })).to.equal(3);
    expect(scrape.value('expertwire:kv_lent_blocks_total')).to.equal(11);
  });

  it('tell of requests of other instances', async () => {
    const watched = new Watched();
    const { engine } = watched;
    engine.counts = { ...engine.counts, numArrived: 2, numArrivedTokens: 70 };
    engine.arrivals = {
      ...{ numOpened: 9, numPulls: 5, pulledBytes: 8000, numFailedPulls: 3 },
      ...{ numLostSources: 1, numRecomputed: 4, numRolledBack: 6 },
    };
    const scrape = await watched.scrape();
    expect(scrape.value('expertwire:arrived_requests_total')).to.equal(2);
    expect(scrape.value('expertwire:arrived_tokens_total')).to.equal(70);
    expect(scrape.value('expertwire:pulled_bytes_total')).to.equal(8000);
    expect(scrape.value('expertwire:pulls_total', { outcome: 'done' })).to.equal(5);
    expect(scrape.value('expertwire:pulls_total', { outcome: 'failed' })).to.equal(3);
    for (const [trouble, count] of Object.entries({ source_lost: 1, recomputed: 4, rolled_back: 6 })) {
      expect(scrape.value('expertwire:arrival_troubles_total', { trouble })).to.equal(count);
    }
  });

  it('tell of losses and rebalances', async () => {
    const watched = new Watched();
    const { engine } = watched;
    engine.enter(epochOf([0], { epoch: 4, lost: [{ rank: 1, error: new EngineError('RANK_LOST', 'it ended') }] }));
    engine.rebalancing = {
      ...{ numRebalances: 2, rebalancedAt: [], numSkipped: 3, numFailed: 1, lastError: null, numMovedExperts: 9 },
      ...{ movedBytes: 100, longestStallMs: 5, longestStepMs: null, medianStepMs: null },
      balancedness: { before: 0.25, after: 0.75 },
    };
    engine.scaling = { maxRanks: 6, isScaling: false, numScaled: 5, numFailed: 2, lastError: null };
    const scrape = await watched.scrape();
    expect(scrape.value('expertwire:seats')).to.equal(6);
    expect(scrape.value('expertwire:scaled_total')).to.equal(5);
    expect(scrape.value('expertwire:scale_failures_total')).to.equal(2);
    expect(scrape.value('expertwire:epoch')).to.equal(4);
    expect(scrape.value('expertwire:ranks')).to.equal(1);
    expect(scrape.value('expertwire:lost_ranks')).to.equal(1);
    expect(scrape.value('expertwire:rebalances_total')).to.equal(2);
    expect(scrape.value('expertwire:rebalances_skipped_total')).to.equal(3);
    expect(scrape.value('expertwire:rebalance_failures_total')).to.equal(1);
    expect(scrape.value('expertwire:moved_experts_total')).to.equal(9);
    expect(scrape.value('expertwire:rebalance_longest_stall_seconds')).to.equal(0.005);
    expect(scrape.value('expertwire:rebalanced_balancedness', { placement: 'now' })).to.equal(0.75);
  });

  it('have no series per expert, nor per pair of many ranks, unless they are wanted', async () => {
    const shape = { numLayers: 60, numExperts: 256 };
    const play = async (isFull: boolean): Promise<Scrape> => {
      const watched = new Watched(new PlayedSource(32, shape), isFull);
      watched.engine.step([[{ sequence: 0, numTokens: 8, isPrompt: true }]]);
      return watched.scrape();
    };
    const [lean, full] = [await play(false), await play(true)];
    expect(lean.series.has('expertwire:expert_tokens_total')).to.equal(false);
    expect(lean.text.split('\n')).to.have.length.below(2000);
    const all = { source: '3', destination: 'all' };
    expect(lean.value('expertwire:dispatch_bytes_total', all)).to.equal(310);
    expect(full.of('expertwire:expert_tokens_total').metrics).to.have.length(60 * 256);
    expect(full.value('expertwire:expert_tokens_total', { layer: '59', expert: '0' })).to.equal(8);
    expect(full.value('expertwire:dispatch_bytes_total', { source: '3', destination: '31' })).to.equal(10);
  });

  it('two servers in one process count for themselves', async () => {
    const [one, other] = [new Watched(), new Watched()];
    one.queue(0, 4);
    one.engine.step([[{ sequence: 0, numTokens: 4, isPrompt: true }]]);
    expect((await one.scrape()).value('vllm:generation_tokens_total')).to.equal(1);
    expect((await other.scrape()).value('vllm:generation_tokens_total')).to.equal(0);
  });

  it('promtool reads them, and finds nothing wrong but what is wrong with vLLM’s names', async function () {
    const { text } = await new Watched(new PlayedSource(), true).scrape();
    const { error, status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text });
    if (error !== undefined) {
      this.test!.title += ' (skipped: there is no promtool here)';
      this.skip();
    }
    const LINT = 3; // it read everything; what it can't read is 1
    const said = `${String(stdout)}${String(stderr)}`.split('\n').filter((line) => line !== '');
    const isKnown = (line: string): boolean =>
      line.endsWith("metric names should not contain ':'") || line.startsWith('vllm:iteration_tokens_total ');
    expect({ status, said: said.filter((line) => !isKnown(line)) }).to.deep.equal({ status: LINT, said: [] });
  });
});
