/** What the log says of requests, and what it never says. */
import { expect } from 'chai';
import { epochOf } from '../../../kit/engine/epochs.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { createLog } from '../../../../lib/server/telemetry/log.js';
import { Exchanges } from '../../../../lib/server/telemetry/exchanges.js';
import { RequestTracks } from '../../../../lib/server/telemetry/request_tracks.js';
import { PlayedSource } from '../../../kit/telemetry/played_source.js';
import { TelemeteredApp } from '../../../kit/telemetry/telemetered_app.js';

const HEADERS = { 'x-request-id': 'of-the-client', authorization: 'Bearer SECRET-KEY' };

const without = (fields: object, names: readonly string[]): object =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));

describe('the log', () => {
  it('has one line per request: its id, tokens, times and reason, and nothing of what was said', async () => {
    const { server, lines } = await TelemeteredApp.create({ apiKeys: ['SECRET-KEY'] });
    const payload = { prompt: 'SECRET PROMPT' };
    const answer = await server.app.inject({
      method: 'POST',
      url: '/played?tokens=5&q=SECRET',
      headers: HEADERS,
      payload,
    });
    expect([answer.statusCode, answer.headers['x-request-id']]).to.deep.equal([200, 'of-the-client']);
    expect(lines).to.have.length(1);
    const { time, ms, queue_ms: queueMs, first_token_ms: firstTokenMs, ...rest } = lines[0]!;
    expect(rest).to.deep.equal({
      ...{ level: 30, msg: 'request', request_id: 'of-the-client', method: 'POST', route: '/played', status: 200 },
      ...{ prompt_tokens: 6, cached_tokens: 4, output_tokens: 5, preempted: 1, reasons: ['length'] },
    });
    expect(Date.parse(String(time))).to.be.closeTo(Date.now(), 600_000);
    for (const each of [ms, queueMs, firstTokenMs]) expect(each).to.be.a('number').within(0, 600_000);
    expect(JSON.stringify(lines)).not.to.include('SECRET');
    await server.close();
  });

  it('tells of requests that are refused, and of paths that clients make up without repeating them', async () => {
    const { server, lines } = await TelemeteredApp.create({ apiKeys: ['SECRET-KEY'] });
    await server.app.inject({ method: 'POST', url: '/played', headers: { authorization: 'Bearer WRONG' } });
    await server.app.inject({ method: 'POST', url: '/MADE-UP', headers: HEADERS });
    expect(lines.map(({ route, status }) => [route, status])).to.deep.equal([
      ['/played', 401],
      ['none', 404],
    ]);
    expect(JSON.stringify(lines)).to.not.match(/WRONG|MADE-UP/);
    await server.close();
  });

  it('leaves out requests that only look, and has them at level debug', async () => {
    for (const [level, numLines] of [
      ['info', 0],
      ['debug', 2],
      ['silent', 0],
    ] as const) {
      const { server, lines } = await TelemeteredApp.create({ server: { log_level: level } });
      await server.app.inject({ url: '/health' });
      await server.app.inject({ url: '/metrics' });
      expect(lines, level).to.have.length(numLines);
      await server.close();
    }
  });

  it('tells of lost ranks and of experts that moved or could not be moved', async () => {
    const { server, engine, lines } = await TelemeteredApp.create();
    const lost = [{ rank: 1, error: new EngineError('RANK_LOST', 'rank 1 was killed') }];
    const story = { epoch: 1, abandonedStep: 7, numRanksLeft: 1, numRecomputed: 2, numFailed: 0 };
    engine.watchers.loss({ ...story, lost });
    engine.watchers.rebalance({ kind: 'failed', error: new EngineError('REBALANCE_FAILED', 'no way') });
    expect(lines.map(({ level, msg, ranks, reasons, reason }) => [level, msg, ranks, reasons, reason])).to.deep.equal([
      [40, 'ranks were lost', [1], ['RANK_LOST: rank 1 was killed'], undefined],
      [40, 'experts were not moved', undefined, undefined, 'REBALANCE_FAILED: no way'],
    ]);
    await server.close();
    engine.watchers.loss({ ...story, lost: [] });
    expect(lines).to.have.length(2); // nobody follows any more
  });

  it('tells of ranks that come and go, and why, with the figures that say so', async () => {
    const { server, engine, lines } = await TelemeteredApp.create();
    const { watchers } = engine;
    const cause = { kind: 'policy', before: 2, after: 3, metric: 'waiting', mean: 9.00044, numSteps: 64 } as const;
    watchers.scale({ kind: 'begun', before: 2, wanted: 3, cause });
    watchers.enter(epochOf([0, 1, 2], { epoch: 4, joined: [2] }));
    watchers.enter(epochOf([0, 1], { epoch: 5 })); // of which others tell
    const moved = { numMovedExperts: 8, numMovedSequences: 0, numRecomputed: 0, ms: 20, firstMs: 10 };
    watchers.scale({ kind: 'done', before: 2, after: 3, joined: [2], left: [], ...moved, cause });
    watchers.homes({ kind: 'recovered', numExperts: 8, recoveryMs: 100.5 });
    const spread = { version: 3, step: 9, numMovedExperts: 4, movedBytes: 400, numSteps: 2 };
    watchers.homes({ kind: 'spread', why: 'rank 2 joined', moved: spread });
    watchers.homes({ kind: 'spread', why: 'nothing to do', moved: { ...spread, numMovedExperts: 0, movedBytes: 0 } });
    const full = new EngineError('REBALANCE_FAILED', 'no memory');
    watchers.homes({ kind: 'failed', why: 'rank 1 to leave', error: full });
    const error = new EngineError('SCALE_FAILED', 'no room');
    watchers.scale({ kind: 'failed', before: 3, after: 3, error, cause: { kind: 'leave', rank: 1 } });
    expect(lines.map(({ level, msg, ...fields }) => ({ level, msg, ...without(fields, ['time']) }))).to.deep.equal([
      {
        ...{ level: 30, msg: 'scaling', ranks_before: 2, wanted: 3 },
        ...{ why: 'policy', metric: 'waiting', mean: 9, steps: 64 },
      },
      { level: 30, msg: 'ranks came or went', epoch: 4, joined: [2], left: [], ranks: 3 },
      {
        ...{ level: 30, msg: 'scaled', ranks_before: 2, ranks: 3, joined: [2], left: [] },
        ...{ why: 'policy', metric: 'waiting', mean: 9, steps: 64 },
        ...{ moved_experts: 8, moved_sequences: 0, recomputed: 0, ms: 20, first_ms: 10 },
      },
      { level: 30, msg: 'experts have new homes', experts: 8, ms: 100.5 },
      {
        ...{ level: 30, msg: 'experts were spread', why: 'rank 2 joined', placement_version: 3 },
        ...{ moved_experts: 4, moved_bytes: 400 },
      },
      {
        ...{ level: 40, msg: 'experts were not spread', why: 'rank 1 to leave' },
        reason: 'REBALANCE_FAILED: no memory',
      },
      {
        ...{ level: 40, msg: 'not scaled', ranks_before: 3, ranks: 3, why: 'leaves', rank: 1 },
        reason: 'SCALE_FAILED: no room',
      },
    ]);
    await server.close();
  });

  it('is for people where a terminal shows it, and a request can’t command that terminal', () => {
    const shown: string[] = [];
    const log = createLog({ isTTY: true, write: (line) => void shown.push(line) }, 'info');
    log.info({ method: 'POST', ms: 12.5, route: 'a\u001b[2Jb', missing: null }, 'request');
    log.warn('careful');
    log.debug('too much');
    expect(shown.map((line) => line.slice(8))).to.deep.equal([
      ' request method=POST ms=12.5 route=a\\u001b[2Jb\n',
      ' warning: careful\n',
    ]);
    expect(shown[0]).to.match(/^\d\d:\d\d:\d\d /);
  });
});

describe('a request and its sequences', () => {
  it('end together: when the answer is out and the last sequence is over, whichever is later', () => {
    const ended: string[] = [];
    const exchanges = new Exchanges(
      [{ answered: ({ id, tracks }) => void ended.push(`${id} ${tracks.map(({ end }) => end).join()}`) }],
      () => 0,
    );
    const engine = new PlayedSource();
    engine.watch(new RequestTracks([exchanges], () => 0));
    const arrive = (id: string): (() => void) => {
      const nothing = { traceparent: undefined, tracestate: undefined };
      const exchange = exchanges.arrived({ id, method: 'POST', route: '/', ...nothing });
      return () => exchange.answered({ status: 200, isCutOff: false });
    };
    const queue = (sequence: number, id: string): void =>
      engine.news({ kind: 'queued', sequence, id, numPromptTokens: 1, maxNewTokens: 1 });
    const answerA = arrive('a');
    queue(0, 'a');
    queue(1, 'a');
    queue(2, 'nobody');
    engine.news({ kind: 'finished', sequence: 0, reason: 'stop' });
    answerA();
    expect(ended).to.deep.equal([]);
    engine.news({ kind: 'ended', sequence: 1, error: null });
    expect(ended).to.deep.equal(['a stop,abort']);
    const [first, second] = [arrive('b'), arrive('b')]; // a client that uses an id twice
    queue(3, 'b');
    first();
    engine.news({ kind: 'finished', sequence: 3, reason: 'length' });
    second();
    engine.news({ kind: 'finished', sequence: 2, reason: 'stop' });
    expect(ended.slice(1)).to.deep.equal(['b ', 'b length']);
  });
});
