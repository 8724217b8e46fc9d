import { expect } from 'chai';
import fc from 'fast-check';
import { POLICIES } from '../../../../lib/head/scheduling/policies/policies.js';
import type { SequenceRequest } from '../../../../lib/head/scheduling/scheduler.js';
import { ArrivingHead, settled, type Arriving, type ArrivingHeadOptions } from '../../../kit/engine/arriving_head.js';
import { generatedToken, PlayedKvSource } from '../../../kit/engine/played_kv_source.js';
import { OPTIONS, request } from '../../../kit/engine/scheduling.js';

const KINDS = ['come', 'come', 'come', 'add', 'advance', 'advance', 'advance', 'bring', 'bring', 'bring'] as const;
const OTHERS = ['spoil', 'giveUp', 'gone', 'elsewhere', 'fault', 'degrade', 'lose', 'joins', 'leaves'] as const;
const STEPS = ['begin', 'end', 'step', 'step'] as const;

/** What happens between two steps, or while one runs; `at` chooses whom to. */
interface Deed {
  readonly kind: (typeof KINDS | typeof OTHERS | typeof STEPS)[number];
  readonly at: number;
  readonly length: number;
}

interface Run {
  readonly options: ArrivingHeadOptions;
  readonly deeds: readonly Deed[];
}

const SHARINGS = [{ seed: '', separatesForms: true }, { seed: '', separatesForms: false }, null];
const CALLS = ['more', 'finish', 'commit', 'rollback'] as const;

const runs: fc.Arbitrary<Run> = fc.record({
  options: fc
    .record({
      numRanks: fc.integer({ min: 1, max: 3 }),
      maxNumSeqs: fc.integer({ min: 1, max: 4 }),
      maxNumBatchedTokens: fc.integer({ min: 4, max: 12 }),
      blockSize: fc.integer({ min: 1, max: 4 }),
      numKvBlocks: fc.integer({ min: 14, max: 24 }),
      sharing: fc.constantFrom(...SHARINGS),
      policy: fc.constantFrom(POLICIES.fcfs, POLICIES.priority, POLICIES.lpm),
      numHeadroomBlocks: fc.nat(2),
      cluster: fc.record({
        kv_stream: fc.constantFrom('on' as const, 'off' as const),
        max_stages: fc.integer({ min: 1, max: 3 }),
        last_stage_blocks: fc.integer({ min: 1, max: 2 }),
      }),
    })
    .map((limits) => ({ ...OPTIONS, ...limits })),
  deeds: fc.array(
    fc.record({
      kind: fc.constantFrom(...KINDS, ...OTHERS, ...STEPS),
      at: fc.nat(12),
      length: fc.integer({ min: 1, max: 6 }),
    }),
    { minLength: 8, maxLength: 50 },
  ),
});

interface Followed {
  readonly request: SequenceRequest;
  readonly taken: Arriving;
  readonly source: PlayedKvSource | null;
  isGivenUp: boolean;
}

/** Does what a run says; all that it checks besides is in ArrivingHead. */
class Played {
  private readonly head: ArrivingHead;
  private readonly all: Followed[] = [];

  constructor(private readonly run: Run) {
    this.head = new ArrivingHead(run.options);
  }

  async play(): Promise<void> {
    for (const deed of this.run.deeds) {
      await this.act(deed);
      await settled();
    }
    await this.finish();
  }

  private async act({ kind, at, length }: Deed): Promise<void> {
    const { head } = this;
    const one = this.all.at(at % Math.max(this.all.length, 1));
    const source = one?.source ?? null;
    const rank = at % this.run.options.numRanks;
    switch (kind) {
      case 'come':
      case 'add':
        return this.begin(kind, at, length);
      case 'advance':
        return source?.advance(length);
      case 'bring':
        await head.bring(head.pulls[at % Math.max(head.pulls.length, 1)]);
        return;
      case 'spoil':
        return head.spoil(head.pulls[at % Math.max(head.pulls.length, 1)]);
      case 'giveUp':
        if (one === undefined) return;
        one.isGivenUp = true;
        {
          head.giveUp(one.request.sequence);
          return;
        }
      case 'gone':
        if (source === null) return;
        source.isGone = true;
        {
          source.news();
          return;
        }
      case 'elsewhere':
        if (source === null) return;
        source.port = length === 1 ? null : length;
        {
          source.news();
          return;
        }
      case 'fault':
        source?.faults.set(CALLS[at % CALLS.length]!, 'fails');
        return;
      case 'degrade':
        if (source !== null) source.firstDegraded = Math.max(source.numTokens, length);
        return;
      case 'lose': // rank 0 stays
        if (rank !== 0) await head.lose(rank);
        return;
      case 'joins':
      case 'leaves':
        if (rank !== 0) await head.change(rank, kind);
        return;
      case 'begin':
        if (!head.isBusy) head.begin();
        return;
      case 'end':
        return head.end();
      case 'step':
        await head.step();
    }
  }

  private async begin(kind: 'come' | 'add', at: number, length: number): Promise<void> {
    const asked = request(this.all.length, length, 1 + (at % 7), { family: at % 3 });
    if (kind === 'add') {
      this.all.push({ request: asked, taken: this.head.add(asked), source: null, isGivenUp: false });
      return;
    }
    const source = new PlayedKvSource(asked);
    source.advance(at);
    this.all.push({ request: asked, taken: await this.head.come(asked, source), source, isGivenUp: false });
  }

  /** Sources generate on, and pulls bring what they are to. */
  private async finish(): Promise<void> {
    const { head } = this;
    for (let i = 0; i < 300; i++) {
      for (const { source } of this.all) source?.advance(1);
      const isBusy = await head.step();
      const isBrought = await head.bring();
      if (!isBusy && !isBrought && !head.isWoken && this.all.every(({ taken, isGivenUp }) => isGivenUp || taken.end))
        break;
    }
    for (const each of this.all) this.check(each);
    expect({ used: head.numUsedBlocks, pulls: head.pulls.length }, 'nothing is left').to.deep.equal({
      used: 0,
      pulls: 0,
    });
  }

  private check({ request: { sequence, promptTokenIds, maxNewTokens }, taken, source, isGivenUp }: Followed): void {
    const expected = Array.from({ length: maxNewTokens }, (_, i) =>
      generatedToken(sequence, promptTokenIds.length + i),
    );
    expect(taken.error).to.equal(null);
    if (taken.end === null) expect(isGivenUp, 'who gave it up').to.equal(true);
    const told = source === null ? taken.tokenIds : taken.tokenIds.slice(0, maxNewTokens);
    expect(told).to.deep.equal(expected.slice(0, told.length));
    if (taken.end === 'length') expect(told).to.have.length(maxNewTokens);
    const calls = source?.calls ?? [];
    const ends = calls.filter((call) => call === 'commit' || call === 'rollback');
    expect(ends.length, 'a source hears of one end').to.be.at.most(1);
    if (source !== null && !source.isGone && ends.length === 0)
      expect(this.head.arrivals.counts.numLostSources).to.be.above(0);
  }
}

describe('arrivals in any run', () => {
  it('end as they would where they came from, and leave no block held and nothing pulled', async () => {
    const property = fc.asyncProperty(runs, (run) => new Played(run).play());
    await fc.assert(property, { numRuns: 120 });
  });
});
