import { expect } from 'chai';
import type { InstanceView } from '../../../../lib/cluster/base/instance_view.js';
import type { BusListener } from '../../../../lib/cluster/bus/bus.js';
import { ClusterFeed } from '../../../../lib/cluster/live/cluster_feed.js';
import { CLUSTER_LIMITS } from '../../../../lib/cluster/live/messages.js';
import type { RequestStory } from '../../../../lib/cluster/router/passage/request_story.js';
import { candidateOf, recordOf, reportOf } from '../../../kit/cluster/views.js';

/** A feed whose time, instances and bus the test has. */
function followed() {
  const played = { nowMs: 1_000_000, views: [] as readonly InstanceView[], numWatching: 0 };
  let tell: BusListener = () => undefined;
  const bus = {
    watch: (listener: BusListener) => {
      tell = listener;
      played.numWatching++;
      return () => {
        played.numWatching--;
      };
    },
  };
  const router = { name: 'c', version: '0', policy: 'kv' };
  const feed = new ClusterFeed({ router, views: () => played.views, bus, clock: () => played.nowMs });
  return { feed, played, tell: (...told: Parameters<BusListener>) => tell(...told) };
}

const STORY: RequestStory = {
  asked: { id: 'r', endpoint: '/v1/completions', method: 'POST', isStream: true },
  ...{ instances: ['a'], numRetries: 0, numResumes: 0, moves: [], numPromptTokens: 10, numCachedTokens: 4 },
  ...{ numOutputTokens: 3, status: 200, isCutOff: false, firstTokenMs: 20, ms: 50 },
};

const busy = (id: string, numUsedBlocks: number): InstanceView =>
  candidateOf(id, { load: reportOf(id, { numRunning: 2, numWaiting: 1, numUsedBlocks, numCachedBlocks: 7 }) });

describe('what a router’s page is told', () => {
  it('seconds count what happened in them; those without anything have what was there before', () => {
    const { feed, played } = followed();
    feed.tokens(3);
    feed.over(STORY);
    feed.over({ ...STORY, firstTokenMs: null, status: 429 });
    played.views = [busy('a', 20), busy('b', 50)];
    played.nowMs += 1000;
    feed.tokens(1);
    played.nowMs += 3000;
    played.views = [busy('a', 99)];
    feed.tokens(1);
    const { seconds, now } = feed.snapshot();
    expect(seconds.map(({ atS, numOutputTokens, numRequests }) => [atS, numOutputTokens, numRequests])).to.deep.equal([
      [1000, 3, 2],
      [1001, 1, 0],
      [1002, 0, 0],
      [1003, 0, 0],
    ]);
    expect(seconds[0]).to.deep.include({ numPromptTokens: 20, numCachedTokens: 8, numMoves: 0 });
    expect(seconds[0]!.ttftMs).to.deep.equal({ p50: 20, p90: 20, p99: 20 });
    for (const { numRunning, numWaiting, kvMost, kvLeast } of seconds)
      expect([numRunning, numWaiting, kvMost, kvLeast]).to.deep.equal([4, 2, 0.5, 0.2]);
    expect(now).to.deep.include({ numRequests: 2, numOutputTokens: 5, numRejected: 1, numInstances: 1 });
  });

  it('a request that only looks isn’t counted', () => {
    const { feed } = followed();
    feed.over({ ...STORY, asked: { ...STORY.asked, endpoint: null, method: 'GET' } });
    expect(feed.snapshot().now.numRequests).to.equal(0);
  });

  it('instances are told as they report, and one that tells nothing as it is known', () => {
    const { feed, played } = followed();
    const foreign = candidateOf('f', { record: { kind: 'foreign' }, numRequests: 5, isHealthy: false });
    played.views = [busy('a', 20), foreign, candidateOf('g', { record: { isDraining: true, role: 'decode' } })];
    const [a, f, g] = feed.snapshot().now.instances;
    expect(a).to.deep.include({ id: 'a', state: 'up', numRunning: 2, numWaiting: 1, numUsedBlocks: 20 });
    expect(a).to.deep.include({ numCachedBlocks: 7, numKvBlocks: 100, isForeign: false });
    expect(f).to.deep.include({ isForeign: true, state: 'failing', numRunning: 5, numKvBlocks: 0, tbtMs: null });
    expect(g).to.deep.include({ state: 'draining', role: 'decode' });
  });

  it('it is told of who comes, changes and goes, of moves, and of who goes on', () => {
    const { feed, tell } = followed();
    const told = (id: string, changes = {}) => tell({ kind: 'instance', record: recordOf(id, changes) });
    told('a');
    told('a');
    told('a', { role: 'decode' });
    told('a', { role: 'decode', isDraining: true });
    tell({ kind: 'gone', instance: 'a', why: 'left' });
    told('b');
    tell({ kind: 'gone', instance: 'b', why: 'silent' });
    tell({ kind: 'bus', isUp: false, reason: 'x' });
    tell({ kind: 'bus', isUp: true, reason: 'x' });
    const move = { request: 'r', from: 'a', to: 'b', why: 'balance', ms: 12.3, isDone: true } as const;
    const moves = [move, { ...move, isDone: false }, { ...move, why: 'apart' as const }];
    feed.over({ ...STORY, moves, numResumes: 1, instances: ['a', 'b'] });
    expect(feed.snapshot().events.map(({ text }) => text)).to.deep.equal([
      'a came (mixed)',
      'a is decode now',
      'a is decode, draining now',
      'a left',
      'b came (mixed)',
      'b is silent, and taken for gone',
      'the bus can’t be reached',
      'the bus is there again',
      'r moved from a to b (balance, 12 ms)',
      'b went on with r',
    ]);
    expect(feed.snapshot().now).to.deep.include({ numMoves: 2, numResumes: 1 });
  });

  it('deltas tell what is new since the last one', () => {
    const { feed, played, tell } = followed();
    tell({ kind: 'instance', record: recordOf('a') });
    feed.start();
    expect(feed.delta()).to.deep.include({ seconds: [], events: [] });
    played.nowMs += 1000;
    tell({ kind: 'gone', instance: 'a', why: 'left' });
    const { seconds, events } = feed.delta();
    expect([seconds.length, events.map(({ text }) => text)]).to.deep.equal([1, ['a left']]);
    expect(feed.delta()).to.deep.include({ seconds: [], events: [] });
  });

  it('keeps and tells no more than it may, and watches nobody when it is closed', () => {
    const { feed, played, tell } = followed();
    played.views = Array.from({ length: CLUSTER_LIMITS.numInstances + 9 }, (_, i) => candidateOf(`i${i}`));
    for (let i = 0; i < 3 * CLUSTER_LIMITS.numEvents; i++) tell({ kind: 'bus', isUp: true, reason: '' });
    const { now, events } = feed.snapshot();
    expect([now.instances.length, now.numInstances]).to.deep.equal([256, 265]);
    expect(events).to.have.length(CLUSTER_LIMITS.numEvents);
    feed.close();
    expect(played.numWatching).to.equal(0);
  });
});
