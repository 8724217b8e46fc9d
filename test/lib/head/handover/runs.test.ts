import { expect } from 'chai';
import fc from 'fast-check';
import type { Offer } from '../../../../lib/head/handover/offer.js';
import { POLICIES } from '../../../../lib/head/scheduling/policies/policies.js';
import type { SchedulerOptions, SequenceRequest } from '../../../../lib/head/scheduling/scheduler.js';
import { PlayedHead, LEASE_MS } from '../../../kit/engine/played_head.js';
import { OPTIONS, request, sampledToken } from '../../../kit/engine/scheduling.js';

const KINDS = ['add', 'add', 'handOver', 'handOver', 'offer', 'offer', 'pause', 'pause', 'commit', 'rollback'] as const;
const OTHERS = ['giveUp', 'pass', 'lose', 'joins', 'leaves', 'begin', 'end'] as const;

/** What happens between two steps, or while one runs; `at` chooses whom to. */
interface Deed {
  readonly kind: (typeof KINDS)[number] | (typeof OTHERS)[number];
  readonly at: number;
  readonly length: number;
  readonly numSteps: number;
}

interface Run {
  readonly options: SchedulerOptions;
  readonly numAhead: number;
  readonly deeds: readonly Deed[];
}

const SHARINGS = [{ seed: '', separatesForms: true }, { seed: '', separatesForms: false }, null];

const runs: fc.Arbitrary<Run> = fc.record({
  options: fc
    .record({
      numRanks: fc.integer({ min: 1, max: 3 }),
      maxNumSeqs: fc.integer({ min: 1, max: 4 }),
      maxNumBatchedTokens: fc.integer({ min: 4, max: 12 }),
      blockSize: fc.integer({ min: 1, max: 4 }),
      numKvBlocks: fc.integer({ min: 12, max: 24 }),
      sharing: fc.constantFrom(...SHARINGS),
      policy: fc.constantFrom(POLICIES.fcfs, POLICIES.priority, POLICIES.lpm),
      numHeadroomBlocks: fc.nat(2),
    })
    .map((limits) => ({ ...OPTIONS, ...limits })),
  numAhead: fc.nat(1),
  deeds: fc.array(
    fc.record({
      kind: fc.constantFrom(...KINDS, ...OTHERS),
      at: fc.nat(12),
      length: fc.integer({ min: 1, max: 6 }),
      numSteps: fc.nat(2),
    }),
    { minLength: 8, maxLength: 40 },
  ),
});

/** Does what a run says; all that it checks besides is in PlayedHead. */
class Played {
  private readonly head: PlayedHead;
  private readonly requests: SequenceRequest[] = [];
  private readonly offers: Offer[] = [];
  private readonly pauses: Promise<unknown>[] = [];

  constructor(private readonly run: Run) {
    this.head = new PlayedHead(run.options, run.numAhead);
  }

  async play(): Promise<void> {
    for (const deed of this.run.deeds) {
      await this.act(deed);
      for (let i = 0; i < deed.numSteps; i++) await this.head.step();
    }
    await this.finish();
  }

  private async act({ kind, at, length }: Deed): Promise<void> {
    const { head } = this;
    const offer = this.offers.at(at % Math.max(this.offers.length, 1));
    switch (kind) {
      case 'add':
      case 'handOver': {
        this.add(length, at, kind === 'handOver');
        return;
      }
      case 'offer': {
        this.offer(at, length);
        return;
      }
      case 'pause':
        if (offer?.end === null) this.pauses.push(offer.pause().catch(() => undefined));
        return;
      case 'commit':
        if (offer?.end === null && offer.state().isPaused) offer.commit();
        return;
      case 'rollback':
        return offer?.rollback();
      case 'giveUp': {
        head.giveUp(at);
        return;
      }
      case 'pass': {
        head.timers.pass(at % 2 === 0 ? LEASE_MS : LEASE_MS / 2);
        return;
      }
      case 'lose': // rank 0 stays
        if (at % this.run.options.numRanks !== 0) head.lose(at % this.run.options.numRanks);
        return;
      case 'joins':
      case 'leaves':
        if (at % this.run.options.numRanks !== 0) await head.change(at % this.run.options.numRanks, kind);
        return;
      case 'begin':
        head.begin();
        return;
      case 'end':
        return head.end();
    }
  }

  private add(length: number, at: number, isHandedOver: boolean): void {
    const sequence = this.requests.length;
    const asked = request(sequence, length, 1 + (at % 6), { family: at % 3 });
    this.requests.push(asked);
    this.head.add(asked, isHandedOver ? 1 : null);
    if (isHandedOver) this.offers.push(this.head.offer(sequence));
  }

  private offer(at: number, length: number): void {
    try {
      this.offers.push(this.head.offer(at % Math.max(this.requests.length, 1), at % 2 === 0 ? length : undefined));
    } catch (error) {
      expect(error).to.include({ code: 'NOT_MOVABLE' });
    }
  }

  /** All that is left ends: offers by their leases, requests by their tokens. */
  private async finish(): Promise<void> {
    const { head } = this;
    for (let isBusy = true; isBusy;) {
      isBusy = head.timers.size > 0;
      while (await head.step()) isBusy = true;
      head.timers.pass(LEASE_MS);
    }
    await Promise.all(this.pauses);
    for (const asked of this.requests) this.check(asked);
    for (const { end } of this.offers) expect(end, 'every offer ends').not.to.equal(null);
    const left = { doors: head.doors.size, timers: head.timers.size, used: head.numUsedBlocks };
    expect(left, 'nothing is left').to.deep.equal({ doors: 0, timers: 0, used: 0 });
  }

  private check({ sequence, promptTokenIds, maxNewTokens }: SequenceRequest): void {
    const { tokenIds, end } = this.head.taken.get(sequence)!;
    const expected = Array.from({ length: maxNewTokens }, (_, i) => sampledToken(sequence, promptTokenIds.length + i));
    expect(tokenIds).to.deep.equal(expected.slice(0, tokenIds.length));
    if (end === 'length') expect(tokenIds).to.have.length(maxNewTokens);
    else if (end !== 'moved') expect(this.head.isGivenUp(sequence), 'who gave it up').to.equal(true);
  }
}

describe('offers in any run', () => {
  it('leave no block held, no door open and no request unfinished', async () => {
    const property = fc.asyncProperty(runs, (run) => new Played(run).play());
    await fc.assert(property, { numRuns: 150 });
  });
});
