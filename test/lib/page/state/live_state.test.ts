import { expect } from 'chai';
import { nextState, type LiveState } from '../../../../lib/page/state/live_state.js';
import { LiveFeed } from '../../../../lib/server/live/live_feed.js';
import { LIVE_LIMITS } from '../../../../lib/server/live/messages.js';
import { StagedEngine } from '../../../kit/server/staged_engine.js';

function followed() {
  const engine = new StagedEngine({ numLayers: 1, numExperts: 4, numRanks: 2 });
  const time = { nowMs: 1_000_000_000 };
  const feed = new LiveFeed(engine, { name: 'played', version: '0', clock: () => time.nowMs });
  const step = (): void => {
    engine.step({ decode_R: [1, 0], load_LE: [[1, 0, 2, 0]], bytes: 10 });
    time.nowMs += 700;
  };
  return { feed, step };
}

/** Without what is decoded. */
const plain = ({ experts, ...rest }: LiveState): object => ({ ...rest, bytes: experts.bytes });

describe('what the page knows', () => {
  it('snapshot and deltas come to what a later snapshot says', () => {
    const { feed, step } = followed();
    step();
    feed.start();
    let state = nextState(null, { kind: 'snapshot', snapshot: feed.snapshot() })!;
    for (let i = 0; i < 50; i++) {
      step();
      if (i % 3 === 0) state = nextState(state, { kind: 'delta', delta: feed.delta() })!;
    }
    state = nextState(state, { kind: 'delta', delta: feed.delta() })!;
    expect(plain(state)).to.deep.equal(plain(nextState(null, { kind: 'snapshot', snapshot: feed.snapshot() })!));
    expect(state.steps).to.have.length(LIVE_LIMITS.numSteps);
  });

  it('takes nothing twice from a delta that was made for somebody else', () => {
    const { feed, step } = followed();
    feed.start();
    for (let i = 0; i < 5; i++) step();
    const snapshot = feed.snapshot(); // of one who comes later
    const state = nextState(null, { kind: 'snapshot', snapshot })!;
    const next = nextState(state, { kind: 'delta', delta: feed.delta() })!;
    expect(next.steps).to.equal(state.steps);
    expect(next.seconds).to.equal(state.seconds);
  });

  it('a delta alone tells nothing', () => {
    const { feed } = followed();
    expect(nextState(null, { kind: 'delta', delta: feed.delta() })).to.equal(null);
  });
});
