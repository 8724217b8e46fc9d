import { expect } from 'chai';
import fc from 'fast-check';
import type { Json } from '../../../../lib/experiment/base/run.js';
import { turnsOf } from '../../../../lib/experiment/file/rounds.js';
import { sweptPoints } from '../../../../lib/experiment/file/sweep.js';

type Values = Readonly<Record<string, Json>>;
type Sweep = Parameters<typeof sweptPoints>[0];

const nowhere = () => ({ where: 'here' });

/** All points by counting up: the last digit varies fastest. */
function slowPoints({ grid, zip, list }: Sweep): Values[] {
  const digits: (readonly Values[])[] = [];
  for (const [key, values] of Object.entries(grid)) digits.push(values.map((value) => ({ [key]: value })));
  const zipped = Object.entries(zip);
  if (zipped.length > 0) {
    digits.push(zipped[0]![1].map((_, i) => Object.fromEntries(zipped.map(([key, values]) => [key, values[i]!]))));
  }
  if (list !== null) digits.push(list);
  const total = digits.reduce((product, { length }) => product * length, 1);
  return Array.from({ length: total }, (_, number) => {
    let rest = number;
    const chosen = digits.toReversed().map((digit) => {
      const value = digit[rest % digit.length]!;
      rest = Math.floor(rest / digit.length);
      return value;
    });
    return Object.assign({}, ...chosen.toReversed()) as Values;
  });
}

const value = fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.constant(null));
const distinct = (length: number) => fc.uniqueArray(value, { minLength: length, maxLength: length });
const axis = fc.integer({ min: 1, max: 4 }).chain(distinct);
/** Keys that aren't in one another. */
const axes = (prefix: string, values: fc.Arbitrary<Json[]>) =>
  fc.array(values, { maxLength: 3 }).map((all) => Object.fromEntries(all.map((each, i) => [`${prefix}.k${i}`, each])));

const sweep: fc.Arbitrary<Sweep> = fc.record({
  grid: axes('grid', axis),
  zip: fc.integer({ min: 1, max: 4 }).chain((length) => axes('zip', distinct(length))),
  list: fc.option(
    fc
      .integer({ min: 1, max: 4 })
      .map((length) => Array.from({ length }, (_, i) => ({ label: `p${i}`, ...(i > 1 && { [`list.k${i % 2}`]: i }) }))),
  ),
});

describe('the points of a sweep', () => {
  it('are the product of grid, zip and list, in the order of the file', () => {
    fc.assert(
      fc.property(sweep, (given) => {
        expect(sweptPoints(given, nowhere).map(({ values }) => values)).to.deep.equal(slowPoints(given));
      }),
    );
  });

  it('know where each of their values stands', () => {
    fc.assert(
      fc.property(sweep, (given) => {
        for (const { values, places } of sweptPoints(given, nowhere)) {
          expect(Object.keys(places)).to.deep.equal(Object.keys(values));
          for (const [key, place] of Object.entries(places)) {
            const found = place.slice(1).reduce<unknown>((node, part) => (node as never)[part], given);
            expect(found).to.equal(values[key]);
          }
        }
      }),
    );
  });

  it('are one without a sweep', () => {
    expect(sweptPoints({ grid: {}, zip: {}, list: null }, nowhere)).to.deep.equal([{ values: {}, places: {} }]);
  });

  it('are no more than a night has room for', () => {
    const values = Array.from({ length: 1000 }, (_, i) => i);
    const act = () => sweptPoints({ grid: { a: values, b: values }, zip: {}, list: null }, nowhere);
    expect(act).to.throw(/"sweep" has 1000000 points, and a file has 100000 runs at most/);
  });
});

describe('runs in turns', () => {
  const turns = fc.tuple(
    fc.integer({ min: 1, max: 7 }),
    fc.uniqueArray(fc.nat(), { minLength: 1, maxLength: 4 }),
    fc.integer({ min: 1, max: 4 }),
  );

  it('have each point once in each round, every other round backwards', () => {
    fc.assert(
      fc.property(turns, ([numPoints, seeds, repeats]) => {
        const all = turnsOf(numPoints, seeds, repeats);
        const forwards = Array.from({ length: numPoints }, (_, i) => i);
        expect(all).to.have.length(numPoints * seeds.length * repeats);
        for (let round = 0; round < seeds.length * repeats; round++) {
          const own = all.slice(round * numPoints, (round + 1) * numPoints);
          expect(own.map((turn) => turn.point)).to.deep.equal(round % 2 === 0 ? forwards : forwards.toReversed());
          expect(new Set(own.map((turn) => `${turn.round} ${turn.seed} ${turn.repeat}`)).size).to.equal(1);
          expect(own[0]!.round).to.equal(round);
        }
      }),
    );
  });

  it('have each point, seed and repeat once together', () => {
    fc.assert(
      fc.property(turns, ([numPoints, seeds, repeats]) => {
        const names = turnsOf(numPoints, seeds, repeats).map(({ point, seed, repeat }) => `${point} ${seed} ${repeat}`);
        const wanted = seeds.flatMap((seed) =>
          Array.from(
            { length: numPoints * repeats },
            (_, i) => `${i % numPoints} ${seed} ${Math.floor(i / numPoints)}`,
          ),
        );
        expect(names.toSorted()).to.deep.equal(wanted.toSorted());
      }),
    );
  });

  it('see even drift of the machine alike, with an even number of rounds', () => {
    fc.assert(
      fc.property(turns, ([numPoints, seeds, repeats]) => {
        const all = turnsOf(numPoints, seeds, 2 * repeats);
        const sums = Array.from({ length: numPoints }, (_, point) =>
          all.reduce((sum, turn, place) => (turn.point === point ? sum + place : sum), 0),
        );
        expect(new Set(sums).size).to.equal(1);
      }),
    );
  });
});
