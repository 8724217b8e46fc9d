/** Spans as a collector gets them by OTLP, of a server over a played engine. */
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import type { SpanExporter } from '@opentelemetry/sdk-trace-node';
import { LoudExporter } from '../../../../lib/server/tracing/loud_exporter.js';
import { MAX_STEP_SPANS } from '../../../../lib/server/tracing/sequence_spans.js';
import { tracingSettings } from '../../../../lib/server/tracing/settings.js';
import { repoRoot } from '../../../kit/paths.js';
import { attributesOf, Collector, type CollectedSpan } from '../../../kit/telemetry/collector.js';
import { TelemeteredApp } from '../../../kit/telemetry/telemetered_app.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

interface PlayedRequest {
  readonly tokens: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly payload?: object;
}

/** What a collector gets of requests. */
async function collected(...requests: readonly PlayedRequest[]): Promise<Collector> {
  const collector = await Collector.start();
  try {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`, OTEL_SERVICE_NAME: 'the-service' };
    const { server } = await TelemeteredApp.create({ env });
    for (const { tokens, headers = {}, payload = {} } of requests) {
      await server.app.inject({ method: 'POST', url: `/played?tokens=${tokens}`, headers, payload });
    }
    await server.close(); // sends them
  } finally {
    await collector.close();
  }
  return collector;
}

const namesOf = (spans: readonly CollectedSpan[]): string[] => spans.map(({ name }) => name);

type ExportResult = Parameters<Parameters<SpanExporter['export']>[1]>[0];

describe('traces', () => {
  it('go from the client’s span over request, sequence and stages down to steps with their phases', async () => {
    const headers = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'a=b', 'x-request-id': 'mine' };
    const collector = await collected({ tokens: 5, headers });
    expect([...collector.paths]).to.deep.equal(['/v1/traces']);
    expect(collector.resource.get('service.name')).to.equal('the-service');
    const [http] = collector.named('POST /played');
    expect([http!.traceId, http!.parentSpanId, http!.kind]).to.deep.equal([TRACE, PARENT, 2]);
    expect(attributesOf(http!)).to.include({ 'http.response.status_code': 200, 'http.route': '/played' });
    const [sequence, ...others] = collector.childrenOf(http!);
    expect([sequence!.name, others.length]).to.deep.equal(['llm_request', 0]);
    const attributes = attributesOf(sequence!);
    expect(attributes).to.include({
      ...{ 'gen_ai.request.id': 'mine', 'gen_ai.request.max_tokens': 5, 'gen_ai.response.model': 'moe-7m' },
      ...{ 'gen_ai.usage.input_tokens': 6, 'gen_ai.usage.output_tokens': 5, 'gen_ai.usage.cached_tokens': 4 },
    });
    expect(attributes['gen_ai.response.finish_reasons']).to.deep.equal({ values: [{ stringValue: 'length' }] });
    expect(attributes['gen_ai.latency.time_to_first_token']).to.be.a('number').within(0, 600);
    expect(sequence!.events!.map(({ name }) => name)).to.deep.equal(['preempted']);
    const stages = collector.childrenOf(sequence!);
    expect(namesOf(stages)).to.have.members(['queue', 'prefill', 'decode', 'queue', 'prefill', 'decode']);
    const stepsOf = (span: CollectedSpan): CollectedSpan[] => collector.childrenOf(span);
    const decodes = stages.filter(({ name }) => name === 'decode');
    expect(decodes.map((span) => stepsOf(span).length)).to.deep.equal([0, 3]);
    const [prefill] = stages.filter(({ name }) => name === 'prefill');
    expect(attributesOf(prefill!)).to.include({ 'expertwire.rank': 1, 'expertwire.steps': 1 });
    const [step] = stepsOf(prefill!);
    expect(attributesOf(step!)).to.include({
      ...{ 'expertwire.step': 1, 'expertwire.step.tokens': 2, 'expertwire.step.batched_tokens': 2 },
      'expertwire.phase.experts_ms': 2,
    });
    const nanos = ({ startTimeUnixNano, endTimeUnixNano }: CollectedSpan): number =>
      Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano));
    expect(nanos(step!)).to.be.closeTo(4e6, 1e4); // the played step takes 4 ms
    expect(Math.abs(Number(BigInt(http!.startTimeUnixNano) / 1_000_000n) - Date.now())).to.be.below(600_000);
  });

  it('find their parent where the body names the request otherwise', async () => {
    const collector = await collected({ tokens: 1, payload: { request_id: 'another-name' } });
    const [http] = collector.named('POST /played');
    expect(namesOf(collector.childrenOf(http!))).to.deep.equal(['llm_request']);
  });

  it('begin anew where the client sent no parent, or nonsense', async () => {
    const nonsense = [
      '',
      'x',
      `00-${'0'.repeat(32)}-${PARENT}-01`,
      `ff-${TRACE}-${PARENT}-01`,
      `00-${TRACE}-${PARENT}`,
    ];
    const collector = await collected(...nonsense.map((traceparent) => ({ tokens: 1, headers: { traceparent } })));
    const spans = collector.named('POST /played');
    expect(spans).to.have.length(nonsense.length);
    for (const { parentSpanId = '', traceId } of spans)
      expect([parentSpanId, traceId === TRACE]).to.deep.equal(['', false]);
    expect(new Set(spans.map(({ traceId }) => traceId)).size).to.equal(nonsense.length);
  });

  it('of a request that the client’s own sampler left out are not sent', async () => {
    const collector = await collected({ tokens: 3, headers: { traceparent: `00-${TRACE}-${PARENT}-00` } });
    expect(collector.spans).to.deep.equal([]);
  });

  it('have a bounded number of steps, and the sums of all', async () => {
    const collector = await collected({ tokens: 100 });
    const [decode] = collector.named('decode').filter((span) => collector.childrenOf(span).length > 0);
    expect(collector.childrenOf(decode!)).to.have.length(MAX_STEP_SPANS);
    expect(attributesOf(decode!)).to.include({ 'expertwire.steps': 98, 'expertwire.phase.experts_ms': 196 });
  });

  it('that can’t be sent are told of in the log, and hold up the end of the server for seconds at most', async () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }; // nobody listens there
    const { server, lines } = await TelemeteredApp.create({ env });
    await server.app.inject({ method: 'POST', url: '/played?tokens=1' });
    const startMs = performance.now();
    await server.close();
    expect(performance.now() - startMs).to.be.below(30_000);
    const warnings = lines.filter(({ level }) => level === 40).map(({ msg }) => msg);
    expect(warnings).to.have.length.within(1, 2);
    for (const warning of warnings) expect(warning).to.include('look at OTEL_EXPORTER_OTLP_ENDPOINT');
  });

  it('that can’t be sent are told of once a minute', () => {
    const [told, done]: [unknown[], number[]] = [[], []];
    let nowMs = 0;
    const refused: SpanExporter = {
      export: (_spans, tell) =>
        tell({ ...(JSON.parse('{ "code": 1 }') as ExportResult), error: new Error('connect ECONNREFUSED\u001b[2J') }),
      shutdown: () => Promise.resolve(),
    };
    const exporter = new LoudExporter(refused, { warn: (...line: unknown[]) => void told.push(line) }, () => nowMs);
    for (nowMs of [0, 30_000, 59_999, 60_000]) exporter.export([], ({ code }) => void done.push(code));
    expect(done).to.deep.equal([1, 1, 1, 1]);
    const line = [
      { spans: 0, reason: 'connect ECONNREFUSED\\u001b[2J' },
      "traces don't reach their collector; look at OTEL_EXPORTER_OTLP_ENDPOINT, or unset it",
    ];
    expect(told).to.deep.equal([line, line]);
  });

  it('are wanted where OpenTelemetry’s variables name a collector, and not where they turn it off', () => {
    const of = (env: Readonly<Record<string, string>>): unknown => tracingSettings(env)?.url ?? null;
    const base = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318' };
    expect(of({})).to.equal(null);
    expect(of({ OTEL_EXPORTER_OTLP_ENDPOINT: ' ' })).to.equal(null);
    expect(of(base)).to.equal('http://c:4318/v1/traces');
    expect(of({ ...base, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://t/x' })).to.equal('http://t/x');
    expect(of({ ...base, OTEL_SDK_DISABLED: 'True' })).to.equal(null);
    expect(of({ ...base, OTEL_TRACES_EXPORTER: 'none' })).to.equal(null);
    const nameOf = (env: Readonly<Record<string, string>>): unknown =>
      tracingSettings({ ...base, ...env })?.serviceName;
    expect(nameOf({})).to.equal('expertwire');
    expect(nameOf({ OTEL_RESOURCE_ATTRIBUTES: 'a=b, service.name=listed,c=d' })).to.equal('listed');
    expect(nameOf({ OTEL_RESOURCE_ATTRIBUTES: 'service.name=listed', OTEL_SERVICE_NAME: 'own' })).to.equal('own');
  });

  it('load nothing of OpenTelemetry’s SDK where nobody wants them', () => {
    const script = `
      import { TelemeteredApp } from './dist/test/kit/telemetry/telemetered_app.js';
      const { server } = await TelemeteredApp.create({ env: JSON.parse(process.argv[1]) });
      await server.close();
      const loaded = Object.keys((await import('node:module')).createRequire(import.meta.url).cache);
      process.stdout.write(String(loaded.filter((file) => file.includes('sdk-trace-node')).length));`;
    const numLoaded = (env: object): number => {
      const args = ['--input-type=module', '--eval', script, JSON.stringify(env)];
      return Number(spawnSync(process.execPath, args, { cwd: repoRoot(), encoding: 'utf8' }).stdout);
    };
    expect(numLoaded({})).to.equal(0);
    expect(numLoaded({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' })).to.be.above(0);
  });
});
