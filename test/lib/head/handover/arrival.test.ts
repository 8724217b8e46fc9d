import { expect } from 'chai';
import type { SequenceRequest } from '../../../../lib/head/scheduling/scheduler.js';
import type { KvSource } from '../../../../lib/protocol/kv_source.js';
import { ArrivingHead, type Arriving, type ArrivingHeadOptions } from '../../../kit/engine/arriving_head.js';
import { generatedToken, IDENTITY, PlayedKvSource } from '../../../kit/engine/played_kv_source.js';
import { OPTIONS, request } from '../../../kit/engine/scheduling.js';

const ONE: ArrivingHeadOptions = { ...OPTIONS, cluster: { max_stages: 4, last_stage_blocks: 1 } };
const TWO: ArrivingHeadOptions = { ...ONE, numRanks: 2 };
const STREAMED: ArrivingHeadOptions = { ...ONE, cluster: { ...ONE.cluster, kv_stream: 'on' } };

/** Tokens of its output. */
const outputs = ({ sequence, promptTokenIds }: SequenceRequest, count: number): number[] =>
  Array.from({ length: count }, (_, i) => generatedToken(sequence, promptTokenIds.length + i));

/** All that is left is computed, and brought; it ended as it would have where it came from, and nothing is left. */
async function finish(head: ArrivingHead, asked: SequenceRequest, taken: Arriving): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const isBusy = await head.step();
    const isBrought = await head.bring();
    if (!isBusy && !isBrought && !head.isWoken) break;
  }
  expect(taken.error).to.equal(null);
  expect(taken.tokenIds).to.deep.equal(outputs(asked, asked.maxNewTokens));
  expect(taken.end).to.equal('length');
  expect([head.numUsedBlocks, head.pulls.length]).to.deep.equal([0, 0]);
}

describe('a request that arrives', () => {
  const asked = request(0, 18, 20);

  it('is pulled in stages while its source generates, pauses there for the last, and goes on with nothing computed again', async () => {
    const head = new ArrivingHead(ONE);
    const source = new PlayedKvSource(asked, 21, 4);
    const taken = await head.come(asked, source);
    await head.step();
    source.advance(6);
    await head.bring();
    source.advance(2);
    expect(source.isPaused).to.equal(false);
    await head.bring();
    expect(source).to.include({ isPaused: true, end: null });
    await head.bring();
    expect(source.end).to.equal('committed');
    expect(taken.numResumed).to.equal(12);
    const stages = ['pull 0 on 0: 0-21', 'pull 0 on 0: 21-27', 'pull 0 on 0: 27-29'];
    expect(head.story).to.deep.equal(stages);
    await finish(head, asked, taken);
    expect(head.story.slice(3), 'its last block isn’t full').to.deep.equal(['begin 0 on 0: 29']);
    expect(head.arrivals.counts).to.include({ numOpened: 1, numPulls: 3, pulledBytes: 290, numRecomputed: 0 });
    expect(head.scheduler.counts).to.include({ numArrived: 1, numArrivedTokens: 29, numPreempted: 0 });
  });

  it('has its source pause after so many stages, however fast that generates', async () => {
    const head = new ArrivingHead({ ...ONE, cluster: { max_stages: 2, last_stage_blocks: 1 } });
    const source = new PlayedKvSource(asked, 21, 4);
    const taken = await head.come(asked, source);
    await head.step();
    source.advance(9);
    await head.bring();
    expect(source.isPaused).to.equal(true);
    await finish(head, asked, taken);
    expect(head.story).to.deep.equal(['pull 0 on 0: 0-21', 'pull 0 on 0: 21-30', 'begin 0 on 0: 30']);
  });

  it('that was paused behind its prompt is pulled at once, whole', async () => {
    const head = new ArrivingHead(ONE);
    const source = new PlayedKvSource(asked, 18, 1);
    source.isPaused = true;
    const taken = await head.come(asked, source);
    await finish(head, asked, taken);
    expect(source.calls).not.to.include('finish');
    expect(head.story).to.deep.equal(['pull 0 on 0: 0-18', 'begin 0 on 0: 18']);
  });

  it('waits for a prompt that isn’t computed yet, where it isn’t streamed', async () => {
    const head = new ArrivingHead({ ...ONE, cluster: { ...ONE.cluster, kv_stream: 'off' } });
    const source = new PlayedKvSource(asked, 4);
    const taken = await head.come(asked, source);
    await head.step();
    source.advance(8);
    await head.step();
    expect(head.story).to.deep.equal([]);
    source.advance(6);
    await head.step();
    expect(head.story).to.deep.equal(['pull 0 on 0: 0-18']);
    await finish(head, asked, taken);
  });

  it('is pulled before its prompt is computed, where it is streamed', async () => {
    const head = new ArrivingHead(STREAMED);
    const source = new PlayedKvSource(asked);
    const taken = await head.come(asked, source);
    await head.step();
    expect(head.story).to.deep.equal(['pull 0 on 0: 0-18']);
    source.advance(18);
    await head.bring();
    expect(source).to.include({ isPaused: true, end: 'committed' });
    await finish(head, asked, taken);
    expect(head.story).to.deep.equal(['pull 0 on 0: 0-18', 'begin 0 on 0: 18']);
    expect(head.scheduler.load.ranks[0]!.numCachedBlocks, 'others may begin with it').to.be.at.least(4);
  });

  it('is waited for where it will pause by itself, and streamed as soon as a rank computes it', async () => {
    const head = new ArrivingHead(STREAMED);
    const source = new PlayedKvSource(asked);
    source.pausesItself = true;
    source.port = null; // it waits there
    const taken = await head.come(asked, source);
    await head.step();
    expect([head.story, source.calls.includes('finish')]).to.deep.equal([[], false]);
    source.port = 1;
    source.news();
    await head.step();
    expect(head.story).to.deep.equal(['pull 0 on 0: 0-18']);
    source.advance(18);
    source.isPaused = true;
    source.news();
    await head.bring();
    await finish(head, asked, taken);
    expect([source.end, source.calls.includes('finish')]).to.deep.equal(['committed', false]);
    expect(head.story).to.deep.equal(['pull 0 on 0: 0-18', 'begin 0 on 0: 18']);
  });

  it('is streamed by the length of its prompt', async () => {
    for (const [least, story] of [
      [18, ['pull 0 on 0: 0-18']],
      [19, []],
    ] as const) {
      const cluster = { ...ONE.cluster, kv_stream: 'auto' as const, stream_min_tokens: least };
      const head = new ArrivingHead({ ...ONE, cluster });
      await head.come(asked, new PlayedKvSource(asked));
      await head.step();
      expect(head.story).to.deep.equal(story);
    }
  });

  it('pulls what it doesn’t find, and others find what came', async () => {
    const head = new ArrivingHead(ONE);
    const family = 3;
    const first = request(1, 11, 1, { family });
    await finish(head, first, head.add(first));
    const comes = request(2, 18, 20, { family });
    const taken = await head.come(comes, new PlayedKvSource(comes, 21, 4));
    await head.step();
    expect(head.story.at(-1)).to.equal('pull 2 on 0: 8-21');
    await finish(head, comes, taken);
    expect(head.scheduler.counts).to.include({ numSharedTokens: 8, numArrivedTokens: 13 });
    const last = request(3, 20, 1, { family });
    await finish(head, last, head.add(last));
    expect(head.story.at(-1)).to.equal('begin 3 on 0: 16');
  });

  it('leaves nothing for others where its bits are other ones', async () => {
    for (const how of ['sharing', 'wire', 'degraded'] as const) {
      const head = new ArrivingHead(how === 'wire' ? { ...ONE, cluster: { ...ONE.cluster, kv_wire: 'bf16' } } : ONE);
      const source = new PlayedKvSource(asked, 21, 4);
      if (how === 'sharing') source.identity = { ...source.identity, sharing: 'other' };
      if (how === 'degraded') source.firstDegraded = 6;
      await finish(head, asked, await head.come(asked, source));
      const numShared = how === 'degraded' ? 1 : 0;
      expect(head.scheduler.load.ranks[0]!.numCachedBlocks, how).to.equal(numShared);
    }
  });

  it('of another model is computed anew, behind what came of it', async () => {
    const own = IDENTITY.shape!;
    const shapes = [null, { ...own, rowBytes: 32 }, { ...own, dtype: 'int8' } as const].map((shape) => ({ shape }));
    for (const other of [{ fingerprint: 'another' }, ...shapes]) {
      const head = new ArrivingHead(ONE);
      const source = new PlayedKvSource(asked, 21, 4);
      source.identity = { ...source.identity, ...other };
      const taken = await head.come(asked, source);
      await finish(head, asked, taken);
      expect(taken.numResumed).to.equal(4);
      expect(head.story).to.deep.equal(['begin 0 on 0: 0']);
      expect(source).to.include({ end: 'committed' });
      expect(head.arrivals.counts.numRecomputed).to.equal(1);
    }
  });

  it('whose source is over with it tells what is known and computes nothing', async () => {
    const head = new ArrivingHead(ONE);
    const short = request(0, 18, 3);
    const source = new PlayedKvSource(short, 21, 4);
    source.isPaused = true;
    const taken = await head.come(short, source);
    await finish(head, short, taken);
    expect(head.story.filter((line) => line.startsWith('begin'))).to.deep.equal([]);
  });

  it('waits for room, while it goes on at its source', async () => {
    const head = new ArrivingHead({ ...ONE, maxNumSeqs: 1 });
    const other = request(1, 4, 6);
    const runs = head.add(other);
    await head.step();
    const source = new PlayedKvSource(asked, 21, 4);
    const taken = await head.come(asked, source);
    for (let i = 0; i < 3; i++) {
      await head.step();
      source.advance(1);
    }
    expect([head.story.includes('pull 0 on 0: 0-21'), source.isPaused]).to.deep.equal([false, false]);
    await finish(head, asked, taken);
    expect(runs.end).to.equal('length');
    expect(head.story).to.include('pull 0 on 0: 0-24');
  });

  it('gives way to what runs, is written no further, and comes again', async () => {
    const head = new ArrivingHead({ ...ONE, numKvBlocks: 10 });
    const other = request(1, 11, 14);
    const runs = head.add(other);
    await head.step();
    const taken = await head.come(asked, new PlayedKvSource(asked, 21, 4));
    for (let i = 0; i < 9; i++) await head.step();
    expect(head.story).to.deep.equal(['begin 1 on 0: 0', 'pull 0 on 0: 0-21', 'cancel 0']);
    await finish(head, asked, taken);
    expect(runs.end).to.equal('length');
    expect(head.story.slice(3)).to.deep.equal(['pull 0 on 0: 0-21', 'begin 0 on 0: 21']);
  });

  it('that outgrows its place waits for another one', async () => {
    const head = new ArrivingHead({ ...ONE, numKvBlocks: 10 });
    const runs = head.add(request(1, 14, 6));
    await head.step();
    const source = new PlayedKvSource(asked, 18, 1);
    const taken = await head.come(asked, source);
    await head.step();
    source.advance(9);
    await head.bring();
    expect(head.scheduler.placeOf(0)).to.equal(null);
    await finish(head, asked, taken);
    expect(runs.end).to.equal('length');
  });
});

describe('a request that arrives, and fails on its way,', () => {
  const asked = request(0, 18, 20);
  const calls: readonly (keyof KvSource)[] = ['more', 'finish', 'commit'];

  for (const call of calls) {
    it(`at ${call}: goes on here with what is known`, async () => {
      const head = new ArrivingHead(ONE);
      const source = new PlayedKvSource(asked, 21, 4);
      const taken = await head.come(asked, source);
      await head.step();
      source.advance(3);
      source.faults.set(call, 'fails');
      if (call === 'more') source.news();
      await finish(head, asked, taken);
      expect(taken.numResumed).to.be.oneOf([4, 7]);
      expect(head.arrivals.counts.numLostSources).to.equal(call === 'commit' ? 0 : 1);
    });
  }

  it('at open: says so, and has nothing', async () => {
    const head = new ArrivingHead(ONE);
    const source = new PlayedKvSource(asked);
    source.faults.set('open', 'fails');
    const error = await head.come(asked, source).catch((thrown: unknown) => thrown);
    expect(error).to.include({ code: 'SOURCE_LOST' });
    expect(await head.step()).to.equal(false);
  });

  it('because its source is gone: what came is used, in each stage', async () => {
    for (const stage of [0, 1, 2]) {
      const head = new ArrivingHead(ONE);
      const source = new PlayedKvSource(asked, 21, 4);
      const taken = await head.come(asked, source);
      await head.step();
      for (let i = 0; i < stage; i++) {
        source.advance(6);
        await head.bring();
      }
      source.isGone = true;
      source.news();
      await finish(head, asked, taken);
      const numHere = [0, 21, 27][stage]!;
      expect(head.story.at(-1)).to.equal(`begin 0 on 0: ${numHere}`);
    }
  });

  it('because pulls fail: is tried again, then computed anew behind what is known', async () => {
    for (const numFails of [1, 2, 3]) {
      const head = new ArrivingHead(ONE);
      const source = new PlayedKvSource(asked, 21, 4);
      const taken = await head.come(asked, source);
      await head.step();
      for (let i = 0; i < numFails; i++) await head.spoil();
      await finish(head, asked, taken);
      expect(source.end).to.equal('committed');
      expect(head.arrivals.counts).to.include({ numFailedPulls: numFails, numRecomputed: numFails === 3 ? 1 : 0 });
      expect(head.story.at(-1)).to.equal(`begin 0 on 0: ${numFails === 3 ? 0 : 21}`);
    }
  });

  it('because the last pull does, alike', async () => {
    const head = new ArrivingHead(ONE);
    const source = new PlayedKvSource(asked, 21, 4);
    const taken = await head.come(asked, source);
    await head.step();
    source.advance(2);
    await head.bring();
    expect(source.isPaused).to.equal(true);
    for (let i = 0; i < 3; i++) await head.spoil();
    await finish(head, asked, taken);
    expect(head.story.at(-1)).to.equal('begin 0 on 0: 21');
  });

  it('because a rank here says nothing any more: isn’t waited for', async () => {
    const head = new ArrivingHead({ ...ONE, timeoutMs: 1 });
    const source = new PlayedKvSource(asked, 21, 4);
    const taken = await head.come(asked, source);
    await head.step();
    while (head.pulls.length > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await finish(head, asked, taken);
    expect(head.story).to.deep.equal(['pull 0 on 0: 0-21', 'cancel 0', 'begin 0 on 0: 0']);
    expect(head.arrivals.counts).to.include({ numFailedPulls: 1, numRecomputed: 1 });
  });

  it('because its source is elsewhere by now: is pulled from there', async () => {
    const head = new ArrivingHead(ONE);
    const source = new PlayedKvSource(asked, 21, 4);
    const taken = await head.come(asked, source);
    await head.step();
    source.port = 2;
    source.news();
    await finish(head, asked, taken);
    expect(head.story.slice(0, 3)).to.deep.equal(['pull 0 on 0: 0-21', 'cancel 0', 'pull 0 on 0: 0-21']);
    expect(head.arrivals.counts.numRecomputed).to.equal(0);
  });

  it('because no rank has it there: is computed anew', async () => {
    const head = new ArrivingHead(ONE);
    const source = new PlayedKvSource(asked, 0, 4);
    source.port = null;
    const taken = await head.come(asked, source);
    await finish(head, asked, taken);
    expect(source.end).to.equal('committed');
    expect(head.story).to.deep.equal(['begin 0 on 0: 0']);
  });

  it('because its rank here is lost, in each stage: comes again to another one', async () => {
    for (const stage of [0, 1, 2, 3]) {
      const head = new ArrivingHead(TWO);
      const source = new PlayedKvSource(asked, 21, 4);
      const taken = await head.come(asked, source);
      await head.step();
      const rank = head.pulls[0]!.rank;
      for (let i = 0; i < stage; i++) {
        source.advance(i === 1 ? 1 : 6);
        await head.bring();
      }
      await head.lose(rank);
      await finish(head, asked, taken);
      const again = head.story.filter((line) => line.startsWith(`pull 0 on ${1 - rank}`));
      const numThere = [21, 27, 28][stage];
      expect(again, `stage ${stage}`).to.deep.equal(stage === 3 ? [] : [`pull 0 on ${1 - rank}: 0-${numThere}`]);
      expect(source.end).to.equal('committed');
    }
  });

  it('because its rank here leaves: comes to another one', async () => {
    const head = new ArrivingHead(TWO);
    const source = new PlayedKvSource(asked, 21, 4);
    const taken = await head.come(asked, source);
    await head.step();
    const rank = head.pulls[0]!.rank;
    await head.change(rank, 'leaves');
    expect(head.pulls).to.deep.equal([]);
    await finish(head, asked, taken);
    expect(head.story.slice(1, 3)).to.deep.equal(['cancel 0', `pull 0 on ${1 - rank}: 0-21`]);
  });

  it('because somebody gives it up, at any moment: goes on at its source', async () => {
    for (const stage of ['waiting', 'pulling', 'between', 'pausing', 'last'] as const) {
      const head = new ArrivingHead(ONE);
      const source = new PlayedKvSource(asked, 21, 4);
      await head.come(asked, source);
      if (stage !== 'waiting') await head.step();
      source.advance(6);
      if (stage === 'pausing') source.faults.set('finish', 'hangs');
      if (stage === 'last' || stage === 'pausing') {
        source.advance(-source.numTokens + 24);
        await head.bring();
      }
      if (stage === 'between') await head.bring();
      head.giveUp(0);
      expect(head.pulls, stage).to.deep.equal([]);
      await head.step();
      expect([head.numUsedBlocks, source.end]).to.deep.equal([0, 'rolled_back']);
      expect(head.arrivals.counts.numRolledBack).to.equal(1);
    }
  });

  it('says nothing to its source behind the commit', async () => {
    const head = new ArrivingHead(ONE);
    const source = new PlayedKvSource(asked, 21, 4);
    source.isPaused = true;
    await head.come(asked, source);
    await head.step();
    await head.bring();
    head.giveUp(0);
    await head.step();
    expect([source.end, head.numUsedBlocks]).to.deep.equal(['committed', 0]);
  });

  it('because the engine fails: goes on at its source', async () => {
    const head = new ArrivingHead(ONE);
    const source = new PlayedKvSource(asked, 21, 4);
    const taken = await head.come(asked, source);
    await head.step();
    head.requests.fail(new Error('the end'));
    expect([taken.error?.message, source.end]).to.deep.equal(['the end', 'rolled_back']);
  });
});
