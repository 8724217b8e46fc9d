import { expect } from 'chai';
import { trace } from '@opentelemetry/api';
import type { Answer, Arrival, Exchange } from '../../../../lib/server/telemetry/exchange.js';
import { Exchanges } from '../../../../lib/server/telemetry/exchanges.js';
import { RequestTracks } from '../../../../lib/server/telemetry/request_tracks.js';
import { Spans } from '../../../../lib/server/tracing/spans.js';

const ARRIVAL: Arrival = { id: 'own', method: 'POST', route: '/r', traceparent: undefined, tracestate: undefined };
const clock = (): number => 0;

describe('HTTP requests and sequences of the engine', () => {
  it('a request that is answered can’t be named any more, and gets no sequence', () => {
    const told: string[] = [];
    const listener = { joined: () => told.push('joined'), answered: () => told.push('answered') };
    const exchanges = new Exchanges([listener], clock);
    const tracks = new RequestTracks([exchanges], clock);
    const open = exchanges.arrived(ARRIVAL);
    open.answered({ status: 499, isCutOff: true });
    open.named('late'); // its body came, but its client had gone
    tracks.request({ kind: 'queued', sequence: 0, id: 'late', numPromptTokens: 1, maxNewTokens: 1 });
    tracks.request({ kind: 'finished', sequence: 0, reason: 'stop' });
    expect(told).to.deep.equal(['answered']);
  });

  it('spans take the same end twice: what throws there would end the engine', () => {
    const close = (): Promise<void> => Promise.resolve();
    const spans = new Spans({ tracer: trace.getTracer('none'), modelName: 'm', clock, close });
    const exchange: Exchange = { ...ARRIVAL, startMs: 0, tracks: [] };
    const answer: Answer = { status: 200, isCutOff: false, endMs: 1 };
    spans.arrived(exchange);
    for (let i = 0; i < 2; i++) spans.answered(exchange, answer);
  });
});
