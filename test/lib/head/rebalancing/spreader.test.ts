/** When experts are spread anew, and what is planned for; nothing is computed or moved here. */
import { expect } from 'chai';
import { LivePlacement } from '../../../../experts/placement/live_placement.js';
import { createPlacement, slotsOf, withLayers, type Placement } from '../../../../experts/placement/placement.js';
import { eplbStable } from '../../../../experts/placement/planners/eplb_stable.js';
import type { PlanTopology } from '../../../../experts/placement/planners/topology.js';
import { withSeats } from '../../../../experts/placement/seats.js';
import type { ExpertsEvent } from '../../../../lib/head/rebalancing/experts_event.js';
import type { MoveEnd } from '../../../../lib/head/rebalancing/move_stats.js';
import type { MoveWish } from '../../../../lib/head/rebalancing/mover.js';
import { Spreader } from '../../../../lib/head/rebalancing/spreader.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { errorOf } from '../../../kit/rejects.js';

const SHAPE = { numLayers: 2, numExperts: 8 };
const NUM_SEATS = 4;
const TURN = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A job of seats 0 and 1 at first, whose experts somebody else moves. */
class Played {
  readonly placement: LivePlacement;
  readonly wishes: MoveWish[] = [];
  readonly events: ExpertsEvent[] = [];
  readonly topologies: PlanTopology[] = [];
  readonly spreader: Spreader;
  numUrgent = 0;
  /** What the configured planner does. */
  plan = (...args: Parameters<ReturnType<typeof eplbStable>['plan']>) => Promise.resolve(eplbStable().plan(...args));

  constructor(numSlots = SHAPE.numExperts) {
    const first = createPlacement('linear', { ...SHAPE, numRanks: 2 });
    const whole = withSeats(first, { numSeats: NUM_SEATS, slotsPerRank: SHAPE.numExperts });
    this.placement = new LivePlacement(whole, [2, 3]);
    this.spreader = new Spreader({
      placement: this.placement,
      window: { load_LE: whole.phy2log.map(() => new Float64Array(SHAPE.numExperts)) },
      mover: { isMoving: false, moveTo: (wish) => void this.wishes.push(wish) },
      planning: {
        plan: (load_LE, topology, current) => {
          this.topologies.push(topology);
          return this.plan(load_LE, topology, current);
        },
        prepare: () => undefined,
        close: () => Promise.resolve(),
      },
      ...{ numSlots, numGroups: 1, numRestSteps: 1, capacities: () => undefined, slow: () => [] },
      onUrgent: () => {
        this.numUrgent++;
      },
      onExperts: (event) => void this.events.push(event),
    });
  }

  /** An epoch in which these ranks may hold experts. */
  enter(holders: readonly number[], why: string): void {
    const seats = [...Array(NUM_SEATS).keys()];
    this.placement.enter(seats.filter((seat) => !holders.includes(seat)));
    this.spreader.enter(holders, why);
  }

  /** The last wish ends. */
  end(end: MoveEnd): void {
    this.wishes.at(-1)!.onEnd(end);
  }

  /** All of it has moved. */
  move(): void {
    const { wanted } = this.wishes.at(-1)!;
    const layers = wanted.phy2log.map((phy2log, moeLayer) => ({ moeLayer, phy2log }));
    const version = this.placement.version + 1;
    this.placement.commit(withLayers(this.placement.whole, version, layers));
    this.end({ kind: 'moved', moved: { version, step: 5, numMovedExperts: 6, movedBytes: 60, numSteps: 3 } });
  }
}

/** By seat, experts that it holds in a layer. */
const countsOf = (placement: Placement, moeLayer = 0): number[] =>
  Array.from(
    { length: placement.numRanks },
    (_, seat) => slotsOf(placement, moeLayer, seat).filter((logical) => logical >= 0).length,
  );

describe('experts that are spread when ranks come and go', () => {
  it('go to who joined in even shares, with steps of their own, once every expert has a home', async () => {
    const played = new Played();
    played.enter([0, 1, 2], 'rank 2 joined');
    await TURN();
    expect(played.topologies).to.deep.equal([]); // some expert may have none yet
    played.spreader.settle();
    await TURN();
    const [wish] = played.wishes;
    expect(wish!.isUrgent).to.equal(true);
    expect(countsOf(wish!.wanted).toSorted()).to.deep.equal([0, 2, 3, 3]);
    expect(played.numUrgent).to.equal(1);
    played.move();
    expect(played.events.map((event) => [event.kind, event.kind !== 'recovered' && event.why])).to.deep.equal([
      ['spread', 'rank 2 joined'],
    ]);
  });

  it('are not planned for anew where the same ranks hold them as before', async () => {
    const played = new Played();
    played.enter([0, 1], 'rank 2 left');
    played.spreader.settle();
    await TURN();
    expect([played.topologies, played.events]).to.deep.equal([[], []]);
  });

  it('are planned for those who are there in the end, where ranks come and go meanwhile; whoever waits is told once', async () => {
    const played = new Played();
    let answer!: () => void;
    const late = new Promise<void>((resolve) => (answer = resolve));
    const { plan } = played;
    played.plan = async (...args) => {
      await late;
      return plan(...args);
    };
    played.enter([0, 1, 2], 'rank 2 joined');
    played.spreader.settle();
    const waiting = played.spreader.spread('asked for');
    played.enter([0, 1, 3], 'rank 2 was lost, rank 3 joined');
    answer();
    await TURN();
    expect(played.wishes).to.deep.equal([]); // for who isn't there
    played.plan = plan;
    played.spreader.settle();
    await TURN();
    expect(countsOf(played.wishes[0]!.wanted).map((count) => count > 0)).to.deep.equal([true, true, false, true]);
    // What moves is dropped with the next epoch.
    played.end({ kind: 'dropped', error: new EngineError('REBALANCE_FAILED', 'ranks came or went; ask again') });
    played.enter([0, 1, 2, 3], 'rank 2 joined');
    played.spreader.settle();
    await TURN();
    played.move();
    expect(await waiting).to.include({ numMovedExperts: 6 });
    expect(played.events).to.have.length(1);
    expect(countsOf(played.placement.left)).to.deep.equal([2, 2, 2, 2]);
  });

  it('are spread without copies where there is no memory for these, and else stay, which whoever waits is told', async () => {
    const played = new Played(12);
    played.enter([0, 1, 2], 'rank 2 joined');
    played.spreader.settle();
    const waiting = played.spreader.spread('asked for');
    await TURN();
    const noRoom = { kind: 'failed', rank: 1, code: 'OUT_OF_MEMORY', why: 'OUT_OF_MEMORY: no room' } as const;
    played.end(noRoom);
    await TURN();
    expect(played.topologies.map(({ numSlots }) => numSlots)).to.deep.equal([12, 8]);
    expect(played.wishes).to.have.length(2);
    played.end(noRoom);
    const error = await errorOf(EngineError, () => waiting);
    expect(error).to.include({ code: 'REBALANCE_FAILED', rank: 1 });
    expect(error.message).to.include('rank 1: OUT_OF_MEMORY: no room').and.include('stays as it is');
    expect(played.events).to.deep.equal([{ kind: 'failed', why: 'rank 2 joined', error }]);
  });

  it('are planned by the planner for any ranks where the configured one can’t plan for these', async () => {
    const played = new Played();
    played.plan = () => Promise.reject(new Error('3 ranks on 2 nodes'));
    played.enter([0, 1, 2], 'rank 2 joined');
    played.spreader.settle();
    await TURN();
    expect(countsOf(played.wishes[0]!.wanted).toSorted()).to.deep.equal([0, 2, 3, 3]);
  });

  it('that lie as they should move nowhere, and whoever asks is told at once', async () => {
    const played = new Played();
    expect(await played.spreader.spread('asked for')).to.deep.include({ numMovedExperts: 0, version: 0 });
    expect(played.wishes).to.deep.equal([]);
  });

  it('stay for good when the engine is over', async () => {
    const played = new Played();
    played.enter([0, 1, 2], 'rank 2 joined');
    const waiting = played.spreader.spread('asked for');
    const closed = new EngineError('CLOSED', 'the engine was closed; start another');
    played.spreader.fail(closed);
    expect(await errorOf(EngineError, () => waiting)).to.equal(closed);
    expect(await errorOf(EngineError, () => played.spreader.spread('asked for'))).to.equal(closed);
  });
});
