/** Everything together over a real engine, whose ranks are in this process: what clients did is what metrics, log, spans and recordings say. */
import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { recordedLoad } from '../../../../experts/routing/recorded_routing.js';
import { loadConfig } from '../../../../lib/config/load.js';
import { createServer, type HttpServer } from '../../../../lib/server/create_server.js';
import { createLog } from '../../../../lib/server/telemetry/log.js';
import { attributesOf, Collector } from '../../../kit/telemetry/collector.js';
import { startLocalEngine, type LocalEngine } from '../../../kit/engine/local_engine.js';
import { shuffling } from '../../../kit/engine/plannings.js';
import { tinyModel } from '../../../kit/paths.js';
import { Scrape } from '../../../kit/telemetry/prometheus.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const MODEL = tinyModel('tiny-deepseek-v3');

describe('telemetry of a real engine', () => {
  let local: LocalEngine;
  let server: HttpServer;
  let collector: Collector;
  const lines: Record<string, unknown>[] = [];
  const post = (url: string, payload: object) => server.app.inject({ method: 'POST', url, payload });
  const complete = (more: object = {}) =>
    post('/v1/completions', { prompt: [1, 2, 3, 4, 5], max_tokens: 8, ignore_eos: true, temperature: 0, ...more });

  before(async () => {
    collector = await Collector.start();
    const set = ['enabled=true', 'step_interval=100000', 'min_gain=1'].map((key) => `load_balance.${key}`);
    local = await startLocalEngine(MODEL, { numRanks: 2, planning: shuffling(), set });
    const log = createLog({ write: (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>) }, 'info');
    const config = await loadConfig({ base: { model: MODEL } });
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
    server = await createServer(local.engine, { config, log, env });
  });

  after(async () => {
    await server.close();
    await local.close();
    await collector.close();
  });

  it('metrics are what the engine’s statistics say', async () => {
    const answers = await Promise.all([complete(), complete({ n: 2, max_tokens: 3 }), complete({ max_tokens: 0 })]);
    expect(answers.map(({ statusCode }) => statusCode).slice(0, 2)).to.deep.equal([200, 200]);
    const scrape = new Scrape((await server.app.inject({ url: '/metrics' })).body);
    const stats = local.engine.stats();
    const { numSteps, numPromptTokens, numOutputTokens, numSharedTokens, dispatchBytes, balancedness } = stats;
    expect(numOutputTokens).to.equal(8 + 2 * 3);
    expect(scrape.value('expertwire:steps_total')).to.equal(numSteps);
    expect(scrape.histogram('expertwire:step_seconds').count).to.equal(numSteps);
    expect(scrape.value('vllm:generation_tokens_total')).to.equal(numOutputTokens);
    expect(scrape.value('expertwire:prompt_tokens_computed_total')).to.equal(numPromptTokens);
    expect(scrape.value('vllm:prompt_tokens_total')).to.equal(numPromptTokens + numSharedTokens);
    expect(scrape.value('expertwire:dispatch_bytes_total', { source: '0', destination: '1' })).to.equal(
      dispatchBytes[0]![1],
    );
    expect(scrape.value('expertwire:balancedness', { layer: '0' })).to.be.closeTo(balancedness[0]!, 1e-12);
    expect(scrape.value('vllm:prefix_cache_queries_total')).to.equal(stats.numPrefixQueries);
    expect(scrape.value('vllm:prefix_cache_hits_total')).to.equal(stats.numPrefixHits);
    expect(scrape.value('vllm:request_success_total', { finished_reason: 'length' })).to.equal(3);
    expect(scrape.histogram('vllm:inter_token_latency_seconds').count).to.equal(7 + 2 * 2);
    expect(scrape.value('vllm:num_requests_running')).to.equal(0);
    expect(scrape.value('vllm:kv_cache_usage_perc')).to.equal(0);
  });

  it('a line of the log has the tokens of all choices of a request', async () => {
    await complete({ n: 2, max_tokens: 3, request_id: 'by-its-body' });
    expect(lines.at(-1)).to.include({ msg: 'request', route: '/v1/completions', prompt_tokens: 10, output_tokens: 6 });
  });

  it('experts that are told to move move beside the tokens of clients', async () => {
    const before = local.engine.placement;
    const rebalancing = post('/experts/rebalance', { wait_s: 50 });
    const wait: { isOver: boolean } = { isOver: false };
    void rebalancing.then(() => (wait.isOver = true));
    while (!wait.isOver) await complete();
    const answer = (await rebalancing).json<{ status: string; placement_version: number }>();
    expect(answer).to.deep.include({ status: 'done', placement_version: local.engine.placement.version });
    expect(local.engine.placement.phy2log).not.to.deep.equal(before.phy2log);
    const scrape = new Scrape((await server.app.inject({ url: '/metrics' })).body);
    expect(scrape.value('expertwire:rebalances_total')).to.equal(1);
    expect(scrape.value('expertwire:placement_version')).to.equal(answer.placement_version);
    expect(lines.some(({ msg }) => msg === 'experts moved')).to.equal(true);
  });

  it('a recording is what plan --load reads: the load of the time that was recorded', async () => {
    const before = local.engine.stats().expertLoad;
    await post('/experts/record/start', {});
    await complete();
    const bytes = (await post('/experts/record/dump', {})).rawPayload;
    const after = local.engine.stats().expertLoad;
    await complete(); // nobody records any more
    await withTempFolder(async (folder) => {
      const file = join(folder, 'recorded.jsonl.gz');
      writeFileSync(file, bytes);
      const { load_LE } = await recordedLoad(file);
      expect(load_LE).to.deep.equal(after.map((load_E, layer) => load_E.map((load, e) => load - before[layer]![e]!)));
    });
  });

  it('a trace has the steps that computed a request, on its rank', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
    const payload = { prompt: [9, 8, 7], max_tokens: 5, ignore_eos: true };
    await server.app.inject({ method: 'POST', url: '/v1/completions', headers, payload });
    await server.close();
    const [http] = collector.named('POST /v1/completions').filter((span) => span.traceId === traceId);
    const [sequence] = collector.childrenOf(http!);
    expect(attributesOf(sequence!)).to.include({ 'gen_ai.usage.input_tokens': 3, 'gen_ai.usage.output_tokens': 5 });
    const stages = collector.childrenOf(sequence!);
    expect(stages.map(({ name }) => name)).to.deep.equal(['queue', 'prefill', 'decode']);
    expect(stages.map((span) => collector.childrenOf(span).length)).to.deep.equal([0, 1, 4]);
    const [step] = collector.childrenOf(stages[2]!);
    const phases = Object.entries(attributesOf(step!)).filter(([key]) => key.startsWith('expertwire.phase.'));
    expect(phases.reduce((sum, [, ms]) => sum + Number(ms), 0)).to.be.above(0);
  });
});
