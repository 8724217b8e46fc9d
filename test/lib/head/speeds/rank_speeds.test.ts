import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { STEP_PHASES, type StepPhase } from '../../../../compute/base/stopwatch.js';
import { createPlacement } from '../../../../experts/placement/placement.js';
import { RankSpeeds } from '../../../../lib/head/speeds/rank_speeds.js';
import { speedText, type SpeedEvent } from '../../../../lib/head/speeds/speed_events.js';
import { WINDOW_STEPS } from '../../../../lib/head/speeds/work_window.js';
import { firstMembers, membersAfter } from '../../../../lib/job/members.js';
import { observedStep, type ObservedStep } from '../../../../lib/head/observing/step_observer.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import type { PlanPart, RankStats, StepPlan, StepResult } from '../../../../lib/protocol/step_plan.js';
import { moe7m } from '../../../kit/paths.js';
import { randomFrom } from '../../../refs/random.js';

const SPEC = modelSpecOf(JSON.parse(readFileSync(join(moe7m(), 'config.json'), 'utf8')) as Record<string, unknown>);

/** Ranks that take as long as they are told to, with noise, and are waited for. */
class PlayedRanks {
  readonly events: SpeedEvent[] = [];
  readonly speeds: RankSpeeds;
  /** Times the time of a usual rank. */
  paces: number[];
  /** Share of the load of experts; default: all alike. */
  share: (rank: number) => number = () => 1;
  /** [destination][source] how much of a step is waited. */
  wait: (to: number, from: number) => number = (_to, from) => (this.paces[from]! > 1 ? 0.4 : 0.02);
  private readonly random = randomFrom(5);
  private readonly waitMs: number[][];
  private step = 0;

  constructor(
    readonly numRanks = 4,
    slowFactor = 2,
    isIgnored = false,
  ) {
    this.paces = new Array<number>(numRanks).fill(1);
    this.waitMs = this.paces.map(() => new Array<number>(numRanks).fill(0));
    const onSpeed = (event: SpeedEvent): void => void this.events.push(event);
    this.speeds = new RankSpeeds({ numSeats: numRanks, spec: SPEC, slowFactor, isIgnored, onSpeed });
  }

  run(numWindows: number): this {
    for (let i = 0; i < numWindows * WINDOW_STEPS; i++) this.speeds.observe(this.next());
    return this;
  }

  get told(): string[] {
    return this.events.map((event) => (event.kind === 'late_link' ? event.kind : `${event.kind} ${event.rank}`));
  }

  private next(): ObservedStep {
    const step = ++this.step;
    const numTokens = 1 + Math.floor(this.random() * 8);
    const plans = this.paces.map((): StepPlan => planOf(step, numTokens));
    const results = this.paces.map((pace, rank) => this.resultOf(step, rank, pace, numTokens));
    const placement = createPlacement('linear', { numLayers: 1, numExperts: 8, numRanks: this.numRanks });
    return observedStep({ plans, results, numTokens, stepMs: 10, placement });
  }

  private resultOf(step: number, rank: number, pace: number, numTokens: number): StepResult {
    const rows = this.paces.map((_, r) => (r === rank ? Math.round(20 * numTokens * this.share(rank)) : 0));
    const noise = (): number => 0.8 + 0.4 * this.random() + (this.random() < 0.05 ? 3 : 0);
    const phasesMs = Object.fromEntries(STEP_PHASES.map((phase) => [phase, 0])) as Record<StepPhase, number>;
    phasesMs.experts = pace * (15 + 0.5 * (rows[rank]! + numTokens)) * noise();
    phasesMs.attention = pace * (25 + 5 * numTokens) * noise();
    phasesMs.dispatch = 100; // waiting counts for nothing
    const waitMs = this.waitMs[rank]!;
    for (let from = 0; from < this.numRanks; from++) if (from !== rank) waitMs[from]! += 10 * this.wait(rank, from);
    const stats = { waitMs: [...waitMs] } as unknown as RankStats;
    return { step, outputs: [], load: [[1]], rankLoad: [rows], phasesMs, stats };
  }
}

const planOf = (step: number, numTokens: number): StepPlan => {
  const tokenIds = new Array<number>(numTokens).fill(1);
  return {
    ...{ step, epoch: 0, placementVersion: 0, begin: [] },
    parts: [{ tokenIds, position: 3 } as unknown as PlanPart],
  };
};

describe('speeds of ranks', () => {
  it('that are alike say nothing, and planners hear nothing, whatever the noise', () => {
    const ranks = new PlayedRanks().run(40);
    expect(ranks.told).to.deep.equal([]);
    expect(ranks.speeds.capacities).to.equal(undefined);
    for (const { pace, capacity, isSlow } of ranks.speeds.stats(4)) {
      expect(pace).to.be.within(0.8, 1.25);
      expect([capacity, isSlow]).to.deep.equal([1, false]);
    }
  });

  it('a rank at half the speed is taken for half, named once with figures, and once more when it has caught up', () => {
    const ranks = new PlayedRanks(4, 1.8);
    ranks.run(5).paces[2] = 2.2;
    ranks.run(12);
    expect(ranks.told).to.deep.equal(['slow 2']);
    expect(ranks.speeds.capacities![2]).to.be.within(0.33, 0.6);
    expect([0, 1, 3].map((rank) => ranks.speeds.capacities![rank])).to.deep.equal([1, 1, 1]);
    expect(ranks.speeds.ownPaceOf(2)).to.be.within(1.8, 2.6);
    const text = speedText(ranks.events[0]!);
    expect(text).to.match(
      /^rank 2 is slow: it takes \d\.\d times the median rank's time for the same work \(experts \d\.\d, /,
    );
    expect(text).to.contain('the others wait 40 % of the time for it');
    ranks.paces[2] = 1;
    ranks.run(12);
    expect(ranks.told).to.deep.equal(['slow 2', 'caught_up 2']);
    expect(ranks.speeds.capacities).to.equal(undefined);
  });

  it('are shown, and change nothing, where they are to be ignored', () => {
    const ranks = new PlayedRanks(4, 1.5, true);
    ranks.paces[2] = 2;
    ranks.run(8);
    expect(ranks.told).to.deep.equal([]);
    expect(ranks.speeds.capacities).to.equal(undefined);
    expect(ranks.speeds.ownPaceOf(2)).to.equal(1);
    expect(ranks.speeds.stats(4)[2]!.pace).to.be.within(1.6, 2.4);
    expect(ranks.speeds.stats(4)[2]).to.deep.include({ capacity: 1, isSlow: false });
  });

  it('a rank that is spared because it is slow looks no slower for that, and no faster', () => {
    const ranks = new PlayedRanks();
    ranks.paces[1] = 2;
    ranks.run(10);
    const before = ranks.speeds.stats(4)[1]!.experts!;
    ranks.share = (rank) => (rank === 1 ? 0.4 : 1.2);
    ranks.run(20);
    expect(ranks.speeds.stats(4)[1]!.experts).to.be.within(0.8 * before, 1.25 * before);
  });

  it('of ranks whose speed changes all the time are told of less and less often', () => {
    const ranks = new PlayedRanks(4, 1.5);
    for (let i = 0; i < 100; i++) {
      ranks.paces[1] = i % 2 === 0 ? 3 : 1;
      ranks.run(12);
    }
    expect(ranks.told.length).to.be.within(3, 16);
  });

  it('of a seat that somebody else takes are unknown', () => {
    const ranks = new PlayedRanks();
    ranks.paces[3] = 3;
    ranks.run(10);
    expect(ranks.speeds.stats(4)[3]!.isSlow).to.equal(true);
    const change = { left: [3], joined: [] };
    const members = membersAfter(firstMembers([0, 1, 2, 3]), change);
    ranks.speeds.enter({ epoch: 1, members, lost: [], ...change, abandonedStep: null });
    expect(ranks.speeds.stats(4)[3]).to.deep.include({ pace: null, capacity: 1, isSlow: false });
    expect(ranks.speeds.capacities).to.equal(undefined);
  });

  it('rows that come late over one link are told of once, with both its ends', () => {
    const ranks = new PlayedRanks();
    ranks.wait = (to, from) => (from === 0 && to === 3 ? 0.5 : 0.02);
    ranks.run(4);
    expect(ranks.events).to.deep.equal([]);
    ranks.run(20);
    expect(ranks.told).to.deep.equal(['late_link']);
    expect(speedText(ranks.events[0]!)).to.match(/^rank 3 waits 50 % of the time for rows of rank 0, and others don't/);
  });
});
