import { expect } from 'chai';
import { setImmediate as turn } from 'node:timers/promises';
import { InternalError } from '../../../../base/coded_error.js';
import type { Lift } from '../../../../lib/head/kv/lift.js';
import { Lifts } from '../../../../lib/head/kv/lifts.js';
import { TierLoads } from '../../../../lib/head/kv/tier_loads.js';
import type { LiftReport } from '../../../../lib/protocol/kv_store.js';

const FROM_TIERS = { kind: 'tier' } as const;

const liftOf = (...segments: readonly (readonly number[])[]): Lift => ({
  rank: 1,
  segments: segments.map((blocks, i) => ({
    source: FROM_TIERS,
    first: segments.slice(0, i).flat().length,
    blocks: blocks.map((block) => ({ block, key: `key ${block}` })),
    origins: blocks.map(() => 'ram' as const),
    states: blocks.map(() => false),
  })),
});

/** Nobody else has anything. */
const NOBODY = { bring: () => Promise.resolve(0) };
const BROKEN = { bring: () => Promise.reject(new InternalError('a bug')) };

const reportOf = (load: number, numBlocks: number, lost: readonly string[] = []): LiftReport => ({
  ...{ load, numBlocks, lost },
  ...{ payloadBytes: 8 * numBlocks, tookMs: 5 },
});

/** A rank that says what a test has it say; what happens, in its order. */
class Story {
  readonly lines: string[] = [];
  isThere = true;
  nowMs = 0;
  readonly loads: TierLoads;
  readonly lifts: Lifts;

  constructor(loadMs = 1e6) {
    this.loads = new TierLoads({
      ranks: {
        store: (rank, order) => {
          const what =
            order.kind === 'load' ? `load ${order.order.load}: ${order.order.blocks.length} blocks` : order.kind;
          this.lines.push(`${rank}: ${what}`);
          return this.isThere;
        },
      },
      onLost: (rank, keys) => void this.lines.push(`${rank} lost ${keys.join()}`),
      onBrought: (blocks, ms) => void this.lines.push(`brought ${JSON.stringify(blocks)} in ${ms} ms`),
      loadMs: () => loadMs,
    });
    this.lifts = new Lifts({
      sources: { tier: this.loads, rank: BROKEN, loan: NOBODY },
      onEnd: (sequence, numBlocks) => void this.lines.push(`sequence ${sequence}: ${numBlocks} blocks`),
      onFail: (sequence, error) => void this.lines.push(`sequence ${sequence} failed: ${(error as Error).message}`),
      nowMs: () => this.nowMs,
    });
  }
}

describe('lifts', () => {
  it('bring one segment after the other, and end with what came of all', async () => {
    const story = new Story();
    const wanted = new Map([[7, liftOf([1, 2], [3])]]);
    story.lifts.start(wanted);
    story.lifts.start(wanted);
    expect(story.lines, 'once').to.deep.equal(['1: load 0: 2 blocks']);
    story.loads.hear(1, reportOf(0, 2));
    await turn();
    story.loads.hear(1, reportOf(1, 1));
    await turn();
    expect(story.lines.slice(1)).to.deep.equal([
      'brought {"ram":2} in 5 ms',
      '1: load 1: 1 blocks',
      'brought {"ram":1} in 5 ms',
      'sequence 7: 3 blocks',
    ]);
    expect(story.lifts.size).to.equal(0);
  });

  it('end at the first block that can’t be had: nothing behind it is asked for, and nobody believes that it is there', async () => {
    const story = new Story();
    story.lifts.start(new Map([[7, liftOf([1, 2], [3])]]));
    story.loads.hear(1, reportOf(0, 1, ['key 2']));
    await turn();
    expect(story.lines.slice(1)).to.deep.equal(['1 lost key 2', 'sequence 7: 1 blocks']);
  });

  it('that are wanted no more are cancelled at once, and what comes of them then means nothing', async () => {
    const story = new Story();
    const lift = liftOf([1]);
    story.lifts.start(new Map([[7, lift]]));
    story.lifts.stop(new Map([[7, lift]]));
    expect(story.lines).to.have.length(1);
    story.lifts.stop(new Map([[7, liftOf([1])]])); // it was admitted anew
    expect(story.lines.slice(1)).to.deep.equal(['1: cancel_load']);
    story.loads.hear(1, reportOf(0, 1));
    await turn();
    expect([story.lines.length, story.lifts.size]).to.deep.equal([2, 0]);
  });

  it('wait for no rank that is gone, or says nothing in time', async () => {
    const gone = new Story();
    gone.isThere = false;
    gone.lifts.start(new Map([[7, liftOf([1])]]));
    await turn();
    expect(gone.lines.slice(1)).to.deep.equal(['sequence 7: 0 blocks']);
    const silent = new Story(1);
    silent.lifts.start(new Map([[7, liftOf([1])]]));
    while (silent.lifts.size > 0) await turn();
    expect(silent.lines.slice(1)).to.deep.equal(['1: cancel_load', 'sequence 7: 0 blocks']);
  });

  it('fail a request by a bug, instead of hiding it', async () => {
    const story = new Story();
    const lift = liftOf([1]);
    const segments = [{ ...lift.segments[0]!, source: { kind: 'rank', rank: 0 } as const }];
    story.lifts.start(new Map([[7, { ...lift, segments }]]));
    while (story.lifts.size > 0) await turn();
    expect(story.lines).to.deep.equal(['sequence 7 failed: INTERNAL: a bug; please report this']);
  });

  it('don’t ask a source again that was waited for in vain, for longer each time; then one of them does', async () => {
    const story = new Story(1);
    let sequence = 0;
    /** Whether somebody is asked; `answer`: it says that nothing is there. */
    const asks = async (answer = false): Promise<boolean> => {
      const from = story.lines.length;
      const load = story.lines.filter((line) => line.includes(': load')).length;
      story.lifts.start(new Map([[++sequence, liftOf([1])]]));
      story.nowMs += answer ? 0 : 600;
      if (answer) story.loads.hear(1, reportOf(load, 0));
      while (story.lifts.size > 0) await turn();
      return story.lines.slice(from).some((line) => line.includes(': load'));
    };
    expect([await asks(), await asks()]).to.deep.equal([true, false]);
    story.nowMs += 10_000;
    expect([await asks(), await asks()]).to.deep.equal([true, false]);
    story.nowMs += 10_000;
    expect(await asks(), 'twice as long').to.equal(false);
    story.nowMs += 10_000;
    story.lifts.start(
      new Map([
        [98, liftOf([1])],
        [99, liftOf([1])],
      ]),
    );
    expect(story.lines.filter((line) => line.includes(': load'))).to.have.length(3);
    const load = 2;
    story.loads.hear(1, reportOf(load, 1));
    while (story.lifts.size > 0) await turn();
    expect([await asks(true), await asks(true)], 'it answers again').to.deep.equal([true, true]);
  });
});
