import { expect } from 'chai';
import { placementFrom } from '../../../../experts/placement/placement.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { LiveFeed } from '../../../../lib/server/live/live_feed.js';
import { LIVE_LIMITS, type LiveSecond } from '../../../../lib/server/live/messages.js';
import { epochOf } from '../../../kit/engine/epochs.js';
import { StagedEngine } from '../../../kit/server/staged_engine.js';

const SHAPE = { numLayers: 2, numExperts: 4, numRanks: 2 };

/** A feed whose time a test moves; it begins at a whole second. */
function followed(shape = SHAPE) {
  const engine = new StagedEngine(shape);
  const time = { nowMs: 1_000_000_000 };
  const feed = new LiveFeed(engine, { name: 'played', version: '0', clock: () => time.nowMs });
  const queue = (sequence: number): void =>
    engine.tell({ kind: 'queued', sequence, id: null, numPromptTokens: 4, maxNewTokens: 8 });
  const token = (sequence: number): void => engine.tell({ kind: 'token', sequence, tokenId: 1 });
  return { engine, feed, time, queue, token };
}

const sum = (seconds: readonly LiveSecond[], key: 'numOutputTokens' | 'numPromptTokens'): number =>
  seconds.reduce((total, second) => total + second[key], 0);

describe('the feed of the live page', () => {
  it('tells the tokens of each second, and their sum is what the engine counted', () => {
    const { engine, feed, time } = followed();
    engine.step({ prefill_R: [5, 3], decode_R: [1, 0] });
    engine.step({ decode_R: [2, 2] });
    time.nowMs += 1000;
    engine.step({ decode_R: [1, 1] });
    time.nowMs += 2500;
    const { seconds, now } = feed.snapshot();
    expect(seconds.map(({ numOutputTokens }) => numOutputTokens)).to.deep.equal([5, 2, 0]);
    expect(seconds.map(({ numPromptTokens }) => numPromptTokens)).to.deep.equal([8, 0, 0]);
    expect(seconds.map(({ atS }) => atS)).to.deep.equal([1_000_000, 1_000_001, 1_000_002]);
    expect(sum(seconds, 'numOutputTokens')).to.equal(now.numOutputTokens);
    expect(sum(seconds, 'numPromptTokens')).to.equal(now.numPromptTokens);
    expect(now.numSteps).to.equal(3);
  });

  it('measures the first token from the queue, and each further one from the last', () => {
    const { feed, time, queue, token } = followed();
    queue(0);
    time.nowMs += 120;
    token(0);
    for (const gapMs of [10, 30, 20]) {
      time.nowMs += gapMs;
      token(0);
    }
    const { now } = feed.snapshot();
    expect(now.ttftMs).to.deep.equal({ p50: 120, p90: 120, p99: 120 });
    expect(now.itlMs).to.deep.equal({ p50: 20, p90: 30, p99: 30 });
  });

  it('forgets latencies that are older than the window', () => {
    const { feed, time, queue, token } = followed();
    queue(0);
    token(0);
    time.nowMs += 1000 * LIVE_LIMITS.latencyWindowS;
    expect(feed.snapshot().now.ttftMs).to.equal(null);
  });

  it('counts who waits and who runs through preemption, an end and a failure', () => {
    const { engine, feed, time, queue } = followed();
    const counts = (): readonly number[] => {
      time.nowMs += 1000;
      const { numWaiting, numRunning } = feed.snapshot().seconds.at(-1)!;
      return [numWaiting, numRunning];
    };
    queue(0);
    queue(1);
    expect(counts()).to.deep.equal([2, 0]);
    engine.tell({ kind: 'admitted', sequence: 0, rank: 0, numCachedTokens: 0 });
    engine.tell({ kind: 'admitted', sequence: 1, rank: 1, numCachedTokens: 0 });
    expect(counts()).to.deep.equal([0, 2]);
    engine.tell({ kind: 'preempted', sequence: 1, rank: 1 });
    expect(counts()).to.deep.equal([1, 1]);
    engine.tell({ kind: 'finished', sequence: 0, reason: 'stop' });
    engine.tell({ kind: 'ended', sequence: 1, error: null });
    expect(counts()).to.deep.equal([0, 0]);
  });

  it('says what waits and what ranks hold as the engine does at this moment', () => {
    const { engine, feed } = followed();
    engine.load = engine.loadOf(3, (rank) => ({ numRunning: 2 + rank, numUsedBlocks: 100 * rank }));
    const { now } = feed.delta();
    expect(now.numWaiting).to.equal(engine.load.numWaiting);
    for (const [rank, use] of engine.load.ranks.entries()) {
      expect({ ...use, ...now.ranks[rank] }).to.deep.equal({ ...use, state: 'present' });
    }
  });

  it('says what lies below the caches of ranks, and where prompts were found', () => {
    const { engine, feed } = followed();
    expect(feed.snapshot().now.places, 'nowhere else').to.deep.equal([]);
    const ram = { tier: 'ram', numBlocks: 3, numBytes: 300, maxBytes: 1000 } as const;
    const held = { numRunning: 0, numUsedBlocks: 0, numCachedBlocks: 5, numPinnedBlocks: 2 };
    engine.load = engine.loadOf(0, (rank) => ({ ...held, tiers: rank === 1 ? [ram] : [] }));
    const counts = { numLoaded: 2, loadedBytes: 200, numStored: 5, storedBytes: 500, numLost: 0 };
    engine.counts = { ...engine.counts, tiers: [{ tier: 'ram', numQueries: 70, numHits: 30, ...counts }] };
    engine.pool = { ...engine.pool, numQueries: 40, numHits: 8 };
    const { now } = feed.snapshot();
    expect(now.ranks.map(({ tiers, numPinnedBlocks }) => [numPinnedBlocks, tiers])).to.deep.equal([
      [2, []],
      [2, [ram]],
    ]);
    expect(now.places).to.deep.equal([
      { place: 'ram', numQueries: 70, numHits: 30 },
      { place: 'elsewhere', numQueries: 40, numHits: 8 },
    ]);
  });

  it('the balance of a second is that of its steps, layer by layer and over all', () => {
    const { engine, feed, time } = followed();
    engine.step({
      load_LE: [
        [3, 0, 1, 0],
        [1, 1, 1, 1],
      ],
    });
    engine.step({
      load_LE: [
        [1, 0, 3, 0],
        [1, 1, 1, 1],
      ],
    });
    time.nowMs += 1000;
    const [second] = feed.snapshot().seconds;
    // Layer 0: (2 + 2) / (3 + 3), layer 1: (2 + 2) / (2 + 2).
    expect(second!.balance).to.equal(0.8);
    expect([...Buffer.from(second!.layerBalanceBase64!, 'base64')]).to.deep.equal([170, 255]);
  });

  it('a second without tokens has no balance', () => {
    const { engine, feed, time } = followed();
    engine.step();
    time.nowMs += 1000;
    expect(feed.snapshot().seconds[0]).to.include({ balance: null, layerBalanceBase64: null });
  });

  it('tells what each step did on each rank', () => {
    const { engine, feed } = followed();
    engine.tell({ kind: 'preempted', sequence: 9, rank: 1 });
    engine.step({ stepMs: 7, prefill_R: [0, 16], decode_R: [2, 1], admitted_R: [0, 1] });
    engine.step({ stepMs: 8 });
    expect(feed.snapshot().steps).to.deep.equal([
      {
        ...{ step: 0, stepMs: 7, numPrefill_R: [0, 16], numDecode_R: [2, 1] },
        ...{ numAdmitted_R: [0, 1], numPreempted_R: [0, 1] },
      },
      {
        ...{ step: 1, stepMs: 8, numPrefill_R: [0, 0], numDecode_R: [0, 0] },
        ...{ numAdmitted_R: [0, 0], numPreempted_R: [0, 0] },
      },
    ]);
  });

  it('keeps the last seconds, steps and events alone, however many there were', () => {
    const { engine, feed, time } = followed();
    for (let i = 0; i < 3 * LIVE_LIMITS.numSeconds; i++) {
      engine.step({ decode_R: [1, 0] });
      engine.moveExperts({ kind: 'failed', error: new EngineError('REBALANCE_FAILED', 'played') });
      time.nowMs += 1000;
    }
    time.nowMs += 1e9; // and a long time in which nothing happens
    const { seconds, steps, events } = feed.snapshot();
    expect(seconds).to.have.length(LIVE_LIMITS.numSeconds);
    expect(steps).to.have.length(LIVE_LIMITS.numSteps);
    expect(events).to.have.length(LIVE_LIMITS.numEvents);
    expect(seconds.at(-1)).to.include({ numOutputTokens: 0, itlMs: null });
    expect(seconds.map(({ atS }, i) => atS - i)).to.satisfy((starts: number[]) => new Set(starts).size === 1);
  });

  it('a delta tells what is new since the last one, and only that', () => {
    const { engine, feed, time } = followed();
    engine.step({ decode_R: [1, 0] });
    time.nowMs += 1000;
    feed.start();
    expect(feed.delta()).to.have.all.keys('now', 'seconds', 'steps', 'events').and.to.deep.include({ seconds: [] });
    engine.step({ decode_R: [1, 0], load_LE: [[1, 0, 0, 0], Array(4).fill(0)] });
    time.nowMs += 1000;
    const { seconds, steps, load, placement } = feed.delta();
    expect(seconds.map(({ atS }) => atS)).to.deep.equal([1_000_001]);
    expect(steps.map(({ step }) => step)).to.deep.equal([1]);
    expect(load!.maxLoad).to.equal(1);
    expect(placement).to.equal(undefined);
  });

  it('tells a placement when its version changes, and when a rank is lost', () => {
    const { engine, feed } = followed();
    feed.start();
    expect(feed.delta().placement).to.equal(undefined);
    const tables = [Int32Array.of(3, 2, 1, 0), Int32Array.of(0, 1, 2, 3)];
    engine.placement = placementFrom(1, 2, 4, tables);
    expect(feed.delta().placement).to.include({ version: 1 });
    expect(feed.delta().placement).to.equal(undefined);
    const error = new EngineError('RANK_LOST', 'rank 1 ended; /a/path/of/the/head');
    engine.lose({
      epoch: 1,
      lost: [{ rank: 1, error }],
      abandonedStep: null,
      numRanksLeft: 1,
      numRecomputed: 2,
      numFailed: 0,
    });
    const { placement, events, now } = feed.delta();
    expect(placement!.absentRanks).to.deep.equal([1]);
    expect(now.ranks.map(({ state }) => state)).to.deep.equal(['present', 'lost']);
    expect(events.map(({ text }) => text)).to.deep.equal([
      'lost rank 1 (RANK_LOST): 1 left; 2 sequences are computed anew',
    ]);
  });

  it('tells of ranks that come and go as somebody wanted, and of their ends alone', () => {
    const { engine, feed } = followed();
    const cause = { kind: 'asked' } as const;
    const moved = { numMovedExperts: 8, numMovedSequences: 3, numRecomputed: 0, ms: 1, firstMs: 1 };
    engine.tellScale({ kind: 'begun', before: 2, wanted: 1, cause });
    engine.enter(epochOf([0]));
    engine.tellScale({ kind: 'done', before: 2, after: 1, joined: [], left: [1], ...moved, cause });
    engine.enter(epochOf([0, 1], { epoch: 2, joined: [1] }));
    engine.enter(epochOf([0], { epoch: 3, left: [1] }));
    const error = new EngineError('SCALE_FAILED', 'no room at /a/path/of/the/head');
    engine.tellScale({ kind: 'failed', before: 1, after: 1, error, cause });
    const { events, now, placement } = feed.snapshot();
    expect(events.map(({ kind, text }) => [kind, text])).to.deep.equal([
      ['scale', '2 → 1 rank; left: 1; moved: 8 experts, 3 sequences'],
      ['join', 'joined: rank 1; 2 ranks now'],
      ['scale_failed', 'not scaled (SCALE_FAILED); 1 rank goes on'],
    ]);
    expect(now.ranks.map(({ state }) => state)).to.deep.equal(['present', 'left']);
    expect(placement.absentRanks).to.deep.equal([1]);
  });

  it('tells what crosses between ranks per second since somebody watches', () => {
    const { engine, feed, time } = followed();
    engine.step({ bytes: 1e9 });
    feed.start();
    time.nowMs += 500;
    engine.step({ bytes: 1000 });
    expect(feed.delta().traffic).to.deep.equal({
      dispatch_RR: [
        [0, 2000],
        [2000, 0],
      ],
      combine_RR: [
        [0, 1000],
        [1000, 0],
      ],
    });
    time.nowMs += 500;
    expect(
      feed
        .delta()
        .traffic!.dispatch_RR.flat()
        .every((rate) => rate === 0),
    ).to.equal(true);
    time.nowMs += 500;
    expect(feed.delta().traffic, 'still nothing').to.equal(undefined);
  });

  it('60 × 256 experts take 25 KiB of a delta', () => {
    const shape = { numLayers: 60, numExperts: 256, numRanks: 8 };
    const { engine, feed } = followed(shape);
    feed.start();
    const load_LE = Array.from({ length: 60 }, (_, l) => Array.from({ length: 256 }, (_, e) => (l * e) % 97));
    engine.step({ load_LE });
    expect(JSON.stringify(feed.delta())).to.have.length.below(25 * 1024);
  });

  it('follows its engine until it is closed', () => {
    const { engine, feed } = followed();
    expect(engine.numWatchers).to.equal(1);
    feed.close();
    expect(engine.numWatchers).to.equal(0);
  });
});
