import { expect } from 'chai';
import fc from 'fast-check';
import { balancednessOf } from '../../../../experts/placement/balance.js';
import { ExpertError } from '../../../../compute/base/errors.js';
import { createPlacement, placementFrom } from '../../../../experts/placement/placement.js';
import { createPlanner, PLANNERS, type PlannerName } from '../../../../experts/placement/planners/index.js';
import { roomsOf, type PlanTopology } from '../../../../experts/placement/planners/topology.js';
import { REPLICA_SPLITS } from '../../../../experts/placement/replica_split.js';
import { errorOf } from '../../../kit/rejects.js';
import { randomFrom } from '../../../refs/random.js';
import { bestBalancedness, evenLoads, heldOf, lowestMaximum } from '../../../refs/placement_ref.js';

/** Any load with any number of slots that hold it, on ranks that are alike or not; slots that divide where asked. */
const problems = (isDivisible: boolean) =>
  fc
    .record({
      numLayers: fc.integer({ min: 1, max: 3 }),
      numExperts: fc.integer({ min: 1, max: 24 }),
      numRanks: fc.integer({ min: 1, max: 8 }),
      extra: fc.nat(20),
    })
    .chain(({ numLayers, numExperts, numRanks, extra }) => {
      const numSlots = numExperts + extra;
      const layer = fc.array(fc.oneof(fc.nat(1000), fc.double({ min: 0, max: 10, noNaN: true })), {
        minLength: numExperts,
        maxLength: numExperts,
      });
      return fc.record({
        load_LE: fc.array(layer, { minLength: numLayers, maxLength: numLayers }),
        topology: fc.oneof(fc.constant({}), speedsOf(numRanks, numExperts)).map((speeds): PlanTopology => ({
          numRanks,
          numSlots: isDivisible ? Math.ceil(numSlots / numRanks) * numRanks : numSlots,
          ...speeds,
        })),
        start: fc.constantFrom(null, 'linear' as const, 'round_robin' as const),
      });
    });

/** Capacities of ranks, and where the slots follow them freely: room for all experts, too. */
const speedsOf = (numRanks: number, numExperts: number) =>
  fc
    .record({
      capacities: fc.array(fc.constantFrom(0.25, 0.5, 1, 1, 1.3), { minLength: numRanks, maxLength: numRanks }),
      isFree: fc.boolean(),
    })
    .map(({ capacities, isFree }) => ({ capacities, ...(isFree && { maxSlotsPerRank: numExperts + 20 }) }));

/** A rank has no use for more slots than there are experts, unless all have as many. */
const within = ({ numRanks, numSlots, ...speeds }: PlanTopology, numExperts: number): PlanTopology => {
  const even = Math.ceil(numSlots / numRanks);
  const { maxSlotsPerRank = even } = speeds;
  return { numRanks, numSlots, ...speeds, maxSlotsPerRank: Math.max(even, Math.min(numExperts, maxSlotsPerRank)) };
};

const startOf = (start: 'linear' | 'round_robin' | null, load_LE: readonly number[][], numRanks: number) =>
  start && createPlacement(start, { numLayers: load_LE.length, numExperts: load_LE[0]!.length, numRanks });

describe('the size of a plan', () => {
  it('is refused where it would take minutes, before anything is made', () => {
    const load = [[1, 2, 3, 4]];
    for (const topology of [
      { numRanks: 2, numSlots: 1e9 },
      { numRanks: 65535, numSlots: 65536 },
    ]) {
      expect(() => createPlanner('eplb_stable').plan(load, topology, null)).to.throw(ExpertError, 'too much to plan');
    }
  });
});

describe('slots of ranks', () => {
  it('follow their capacities: in no other way is the rank done sooner that takes longest for its slots', () => {
    const topologies = fc.integer({ min: 1, max: 6 }).chain((numRanks) =>
      fc.record({
        capacities: fc.array(fc.double({ min: 0.05, max: 2, noNaN: true }), {
          minLength: numRanks,
          maxLength: numRanks,
        }),
        numSlots: fc.integer({ min: 1, max: 40 }),
        extra: fc.option(fc.nat(20), { nil: undefined }),
      }),
    );
    fc.assert(
      fc.property(topologies, ({ capacities, numSlots, extra }) => {
        const numRanks = capacities.length;
        const even = Math.ceil(numSlots / numRanks);
        const most = even + (extra ?? 0);
        const free = extra === undefined ? {} : { maxSlotsPerRank: most };
        const rooms = [...roomsOf({ numRanks, numSlots, capacities, ...free })];
        expect(rooms.reduce((a, b) => a + b, 0)).to.equal(numSlots);
        expect(rooms.every((room) => room >= 0 && room <= most)).to.equal(true);
        const slowest = Math.max(...rooms.map((room, rank) => room / capacities[rank]!));
        // One slot fewer for whoever takes longest has no place that would be done sooner.
        const next = rooms.map((room, rank) => (room < most ? (room + 1) / capacities[rank]! : Infinity));
        expect(Math.min(...next)).to.be.at.least(slowest * (1 - 1e-9));
      }),
    );
  });

  it('ranks that are alike have as many, the first ones one more', () => {
    expect([...roomsOf({ numRanks: 4, numSlots: 10, maxSlotsPerRank: 10 })]).to.deep.equal([3, 3, 2, 2]);
    expect([...roomsOf({ numRanks: 4, numSlots: 10, capacities: [2, 2, 2, 2] })]).to.deep.equal([3, 3, 2, 2]);
  });
});

describe('planners by name', () => {
  it('refuse a name that is none', () => {
    expect(() => createPlanner('eplbx' as PlannerName)).to.throw('eplb_stable');
  });
});

describe('planners', () => {
  it('plan layers with fewer experts in as many further slots, on every rank as many where the others have that', () => {
    const load_LE = [
      [4, 1, 1, 2],
      [5, 1, 1, 1],
      [8, 1, 1, 1, 1, 1, 1, 2],
      [1, 1, 1, 1, 1, 1, 1, 9],
    ];
    for (const name of ['eplb', 'eplb_stable', 'biased'] as const) {
      const first = createPlanner(name).plan(load_LE, { numRanks: 3, numSlots: 9 }, null).placement;
      expect(first.numExperts, name).to.deep.equal([4, 4, 8, 8]);
      expect(first.slotsPerRank).to.equal(3);
      for (const counts of first.logcnt) expect(Math.min(...counts), name).to.be.at.least(1);
      const numUsed = first.phy2log.map((table) => table.filter((expert) => expert >= 0).length);
      expect(numUsed, name).to.deep.equal(name === 'biased' ? [6, 6, 8, 8] : [6, 6, 9, 9]);
      const again = createPlanner(name).plan(load_LE, { numRanks: 3, numSlots: 9 }, first);
      expect(again.placement, name).to.equal(first);
      expect(again.report.numMovedSlots).to.equal(0);
    }
    expect(() => createPlanner('eplb').plan([[1, 2], []], { numRanks: 1, numSlots: 2 }, null)).to.throw(
      'without experts',
    );
  });

  for (const name of PLANNERS) {
    it(`${name}: every expert has a replica, every rank at most its slots, and the report counts right`, () => {
      fc.assert(
        fc.property(problems(name === 'eplb'), ({ load_LE, topology, start }) => {
          const { numRanks, numSlots, capacities } = topology;
          const current = startOf(start, load_LE, numRanks);
          const { placement, report } = createPlanner(name).plan(load_LE, topology, current);
          const isFixed = name === 'linear' || name === 'round_robin';
          const rooms = roomsOf(isFixed ? { numRanks, numSlots } : within(topology, load_LE[0]!.length));
          expect(placement.slotsPerRank).to.equal(placement === current ? current.slotsPerRank : Math.max(...rooms));
          let moved = 0;
          load_LE.forEach((_, layer) => {
            const held = heldOf(placement, layer);
            expect(Math.min(...placement.logcnt[layer]!)).to.be.at.least(1);
            held.forEach((experts, rank) => {
              expect(experts.length).to.be.at.most(rooms[rank]!);
              const before = current === null ? [] : heldOf(current, layer)[rank]!;
              moved += new Set(experts.filter((e) => !before.includes(e))).size;
            });
          });
          expect(report.numMovedSlots).to.equal(moved);
          for (const split of REPLICA_SPLITS) {
            const figure = balancednessOf(load_LE, placement, split, capacities);
            expect(report.after[split]).to.equal(figure);
          }
          expect(report.before === null).to.equal(current === null);
          if (report.before !== null) {
            expect(report.before.even).to.equal(balancednessOf(load_LE, current!, 'even', capacities));
          }
          expect(report.planMs).to.be.at.least(0);
        }),
      );
    });

    it(`${name}: the same again from its own result, which stays the same object`, () => {
      fc.assert(
        fc.property(problems(name === 'eplb'), ({ load_LE, topology, start }) => {
          const current = startOf(start, load_LE, topology.numRanks);
          const [one, other] = [1, 2].map(() => createPlanner(name).plan(load_LE, topology, current));
          expect(one!.placement.phy2log).to.deep.equal(other!.placement.phy2log);
          const again = createPlanner(name).plan(load_LE, topology, one!.placement);
          expect(again.placement).to.equal(one!.placement);
          expect(again.report.numMovedSlots).to.equal(0);
          expect(again.report.before).to.deep.equal(again.report.after);
        }),
      );
    });

    it(`${name}: capacities that are alike change nothing`, () => {
      fc.assert(
        fc.property(problems(name === 'eplb'), ({ load_LE, topology: { numRanks, numSlots }, start }) => {
          const current = startOf(start, load_LE, numRanks);
          const capacities = new Array<number>(numRanks).fill(0.7);
          const alike = createPlanner(name).plan(load_LE, { numRanks, numSlots, capacities }, current);
          const plain = createPlanner(name).plan(load_LE, { numRanks, numSlots }, current);
          expect(alike.placement).to.deep.equal(plain.placement);
          expect(alike.report).to.deep.include({ before: plain.report.before, after: plain.report.after });
        }),
      );
    });

    it(`${name}: loads of any size, from the smallest number to the largest, are planned as their proportions`, () => {
      const exponents = fc.oneof(fc.integer({ min: -1074, max: -960 }), fc.integer({ min: 900, max: 1023 }));
      const scaled = fc.tuple(problems(name === 'eplb'), exponents, fc.boolean());
      fc.assert(
        fc.property(scaled, ([{ load_LE, topology, start }, exponent, isMixed]) => {
          const current = startOf(start, load_LE, topology.numRanks);
          const factor = 2 ** exponent;
          const extreme = load_LE.map((load_E) =>
            load_E.map((load, e) => Math.min(Number.MAX_VALUE, isMixed && e % 2 === 1 ? load : (load / 1000) * factor)),
          );
          const { placement, report } = createPlanner(name).plan(extreme, topology, current);
          for (const counts of placement.logcnt) expect(Math.min(...counts)).to.be.at.least(1);
          for (const value of [...Object.values(report.after), ...Object.values(report.before ?? {})]) {
            expect(value).to.be.within(0, 1 + 1e-9);
          }
        }),
      );
    });

    it(`${name}: no plan beats the best of all placements`, () => {
      const random = randomFrom(7);
      for (let i = 0; i < 40; i++) {
        const { load, topology, capacities } = tinyProblem(random, name === 'eplb');
        const { placement, report } = createPlanner(name).plan([load], topology, null);
        const best = bestBalancedness(load, capacities, (loads, held) => Math.max(...evenLoads(loads, held)));
        const bestSplit = bestBalancedness(load, capacities, lowestMaximum);
        // The search fills every slot with another expert.
        const isComparable = heldOf(placement, 0).every(
          (experts, rank) => new Set(experts).size === Math.min(capacities[rank]!, load.length),
        );
        expect(report.after.balanced).to.be.at.most(bestSplit + 1e-9);
        if (isComparable) expect(report.after.even).to.be.at.most(best + 1e-9);
      }
    });
  }

  for (const name of ['eplb', 'eplb_stable', 'biased'] as const) {
    it(`${name}: a rank at half the speed gets about half the load, and fewer slots where ranks have room`, () => {
      const load_E = Array.from({ length: 28 }, (_, e) => 100 + e);
      const topology = { numRanks: 4, numSlots: 28, capacities: [1, 1, 0.5, 1], maxSlotsPerRank: 28 };
      const { placement, report } = createPlanner(name).plan([load_E], topology, null);
      expect(heldOf(placement, 0).map((experts) => experts.length)).to.deep.equal([8, 8, 4, 8]);
      expect(report.after.even).to.be.above(0.94);
      const { capacities, ...alike } = topology;
      const plain = createPlanner(name).plan([load_E], alike, null).placement;
      expect(balancednessOf([load_E], plain, 'even', capacities)).to.be.below(0.6);
    });
  }

  it('a changed placement has the next version, the first one 0', () => {
    const topology = { numRanks: 2, numSlots: 4 };
    const first = createPlanner('eplb').plan([[9, 1, 1]], topology, null).placement;
    expect(first.version).to.equal(0);
    const present = placementFrom(7, 2, 3, first.phy2log);
    expect(createPlanner('linear').plan([[9, 1, 1]], topology, present).placement.version).to.equal(8);
  });

  it('biased puts the hottest experts on every rank and the others where there is room', () => {
    const { placement } = createPlanner('biased').plan([[1, 9, 4, 8, 2, 3]], { numRanks: 3, numSlots: 11 }, null);
    // Five redundant slots: two experts twice more, and one slot empty.
    expect(placement.logcnt.map((counts) => [...counts])).to.deep.equal([[1, 3, 1, 3, 1, 1]]);
    expect(heldOf(placement, 0)).to.deep.equal([
      [1, 3, 2],
      [1, 3, 5, 0],
      [1, 3, 4],
    ]);
  });

  it('linear and round_robin leave further slots empty', () => {
    const tables = (['linear', 'round_robin'] as const).map((name) => [
      ...createPlanner(name).plan([[1, 2, 3]], { numRanks: 2, numSlots: 5 }, null).placement.phy2log[0]!,
    ]);
    expect(tables).to.deep.equal([
      [0, 1, -1, 2, -1, -1],
      [0, 2, -1, 1, -1, -1],
    ]);
  });

  it('refuses loads and topologies that make no sense, naming what', async () => {
    const fine = { numRanks: 2, numSlots: 4 };
    const wrong: [readonly (readonly number[])[], PlanTopology, string][] = [
      [[[1, Number.NaN]], fine, 'layer 0, expert 1 is NaN'],
      [[[1, 2], [1, -3]], fine, 'layer 1, expert 1 is -3'], // prettier-ignore
      [[[1, Infinity]], fine, 'is Infinity'],
      [[], fine, 'no layers'],
      [[[]], fine, 'without experts'],
      [[[1, 2, 3, 4, 5]], fine, '4 slots for 5 experts'],
      [[[1, 2]], { ...fine, numRanks: 0 }, 'numRanks is 0'],
      [[[1, 2]], { ...fine, numSlots: 3.5 }, 'numSlots is 3.5'],
      [[[1, 2]], { ...fine, numNodes: -1 }, 'numNodes is -1'],
      [[[1, 2]], { ...fine, numGroups: Number.NaN }, 'numGroups is NaN'],
      [[[1, 2]], { ...fine, capacities: [1] }, '1 capacities for 2 ranks'],
      [[[1, 2]], { ...fine, capacities: [1, 0] }, 'capacity of rank 1 is 0'],
      [[[1, 2]], { ...fine, capacities: [Number.NaN, 1] }, 'capacity of rank 0 is NaN'],
      [[[1, 2]], { ...fine, maxSlotsPerRank: 1 }, '4 slots on 2 ranks with room for 1 each'],
    ];
    for (const name of PLANNERS) {
      for (const [load_LE, topology, words] of wrong) {
        const error = await errorOf(ExpertError, () => createPlanner(name).plan(load_LE, topology, null));
        expect(error.code).to.equal('INVALID_ARGUMENT');
        expect(error.message).to.contain(words);
      }
    }
  });

  it('refuses a present placement of another shape, with both', async () => {
    const current = createPlacement('linear', { numLayers: 1, numExperts: 4, numRanks: 2 });
    const plan = () => createPlanner('eplb').plan([[1, 2, 3]], { numRanks: 2, numSlots: 4 }, current);
    const error = await errorOf(ExpertError, plan);
    expect(error.message).to.match(
      /^INVALID_ARGUMENT: .*1 layers, 4 experts and 2 ranks.* 1, 3 and 2; plan without it$/,
    );
  });
});

/** Few enough placements to try all. */
function tinyProblem(random: () => number, isDivisible: boolean) {
  const numRanks = 2 + Math.floor(random() * 2);
  const numExperts = 2 + Math.floor(random() * 3);
  const wanted = numExperts + Math.floor(random() * 3);
  const numSlots = isDivisible ? Math.ceil(wanted / numRanks) * numRanks : wanted;
  const capacities = Array.from({ length: numRanks }, (_, r) => Math.floor((numSlots + numRanks - 1 - r) / numRanks));
  const load = Array.from({ length: numExperts }, () => Math.floor(random() * 100));
  return { load, capacities, topology: { numRanks, numSlots } };
}
