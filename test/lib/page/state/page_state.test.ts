import { expect } from 'chai';
import type {
  ClusterDelta,
  ClusterNow,
  ClusterSecond,
  ClusterSnapshot,
} from '../../../../lib/cluster/live/messages.js';
import { nextPageState } from '../../../../lib/page/state/page_state.js';
import { LiveFeed } from '../../../../lib/server/live/live_feed.js';
import { StagedEngine } from '../../../kit/server/staged_engine.js';

const NOW: ClusterNow = {
  ...{ atMs: 0, instances: [], numInstances: 0, ttftMs: null, numRequests: 0, numOutputTokens: 0, numPromptTokens: 0 },
  ...{ numCachedTokens: 0, numMoves: 0, numRetries: 0, numResumes: 0, numRejected: 0 },
};
const second = (atS: number): ClusterSecond => ({
  ...{ atS, numRequests: 0, numOutputTokens: 0, numPromptTokens: 0, numCachedTokens: 0, numMoves: 0 },
  ...{ numRunning: 0, numWaiting: 0, ttftMs: null, kvMost: null, kvLeast: null },
});
const event = (number: number) => ({ number, atMs: number, text: `${number}` });
const SNAPSHOT: ClusterSnapshot = {
  router: { name: 'c', version: '0', policy: 'kv' },
  now: NOW,
  seconds: [second(1), second(2)],
  events: [event(0)],
};

describe('what the page knows of whoever serves it', () => {
  it('a router tells of itself by its snapshot, and deltas go on from it, taking nothing twice', () => {
    const known = nextPageState(null, { kind: 'snapshot', snapshot: SNAPSHOT });
    expect(known).to.deep.equal({ kind: 'cluster', cluster: SNAPSHOT });
    const delta: ClusterDelta = {
      now: { ...NOW, atMs: 7 },
      seconds: [second(2), second(3)],
      events: [event(0), event(1)],
    };
    expect(nextPageState(known, { kind: 'delta', delta })).to.deep.equal({
      kind: 'cluster',
      cluster: {
        ...SNAPSHOT,
        now: delta.now,
        seconds: [second(1), second(2), second(3)],
        events: [event(0), event(1)],
      },
    });
  });

  it('an instance tells of itself in the same way, also one that takes a router’s place', () => {
    const feed = new LiveFeed(new StagedEngine({ numLayers: 1, numExperts: 4, numRanks: 2 }), {
      name: 'm',
      version: '0',
    });
    const router = nextPageState(null, { kind: 'snapshot', snapshot: SNAPSHOT });
    const known = nextPageState(router, { kind: 'snapshot', snapshot: feed.snapshot() });
    expect(known?.kind).to.equal('instance');
    expect(nextPageState(known, { kind: 'delta', delta: feed.delta() })?.kind).to.equal('instance');
    feed.close();
  });

  it('a delta alone tells nothing', () => {
    const delta: ClusterDelta = { now: NOW, seconds: [], events: [] };
    expect(nextPageState(null, { kind: 'delta', delta })).to.equal(null);
  });
});
