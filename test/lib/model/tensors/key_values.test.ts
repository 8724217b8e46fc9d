import { expect } from 'chai';
import { rowsOf, selectBackend, tensorMemory, tidy, toTensor } from '../../../../compute/tfjs/tf.js';
import { BatchedKeyValues, LaneKeyValues, type KeyValues } from '../../../../lib/model/tensors/key_values.js';
import { KvSegment, looseRows, type KvRows } from '../../../../lib/model/tensors/kv_segment.js';
import { isSameBits, largestDifference, randomFrom, randomValues } from '../../../refs/random.js';

const NUM_HEADS = 3;
const [DIM, VALUE_DIM] = [4, 5];
/** Tokens of each segment; the last one is loose. */
const LENGTHS = [6, 6, 2];
const LENGTH = 14;
const NUM_QUERIES = 2;

/** Keys, or values, of all heads: [L, heads·width]. */
const tokens = (seed: number, width: number): Float32Array =>
  randomValues(randomFrom(seed), LENGTH * NUM_HEADS * width);

/** Rows of one head: [L·width]. */
const headOf = (all: Float32Array, head: number, width: number): number[] =>
  Array.from({ length: LENGTH }, (_, l) => [
    ...all.subarray((l * NUM_HEADS + head) * width, (l * NUM_HEADS + head + 1) * width),
  ]).flat();

/** Whole segments keep what is made of them until they are released. */
function segmentsOf(values: ArrayLike<number>, width: number, held: KvSegment[]): KvRows[] {
  let start = 0;
  return LENGTHS.map((length, i) => {
    const own = Float32Array.from(Array.from(values).slice(start * width, (start + length) * width));
    start += length;
    const rows = toTensor(own, [length, width]);
    if (i === LENGTHS.length - 1) return looseRows(rows);
    const segment = new KvSegment(rows, 1);
    held.push(segment);
    return segment;
  });
}

describe('keys and values of several heads', () => {
  before(() => selectBackend('wasm'));

  const [keys, values] = [tokens(1, DIM), tokens(2, VALUE_DIM)];
  const q = randomValues(randomFrom(3), NUM_HEADS * NUM_QUERIES * DIM);
  const weights = randomValues(randomFrom(4), NUM_HEADS * NUM_QUERIES * LENGTH);

  /** Scores of the queries, and weighted values. */
  async function both(make: (held: KvSegment[]) => KeyValues): Promise<[Float32Array, Float32Array]> {
    const held: KvSegment[] = [];
    const products = tidy(() => {
      const keyValues = make(held);
      return [
        keyValues.scores(toTensor(q, [NUM_HEADS * NUM_QUERIES, DIM])),
        keyValues.weigh(toTensor(weights, [NUM_HEADS * NUM_QUERIES, LENGTH])),
      ];
    });
    const [scores, sums] = [(await rowsOf(products[0]!)).slice(), (await rowsOf(products[1]!)).slice()];
    for (const tensor of products) tensor.dispose();
    for (const segment of held) segment.release();
    return [scores, sums];
  }

  /** As {@link both}, in float64. */
  function expected(): [number[], number[]] {
    const [scores, sums]: [number[], number[]] = [[], []];
    for (let row = 0; row < NUM_HEADS * NUM_QUERIES; row++) {
      const head = Math.floor(row / NUM_QUERIES);
      const [k, v] = [headOf(keys, head, DIM), headOf(values, head, VALUE_DIM)];
      for (let l = 0; l < LENGTH; l++) {
        scores.push(Array.from({ length: DIM }, (_, d) => q[row * DIM + d]! * k[l * DIM + d]!).reduce((a, b) => a + b));
      }
      for (let d = 0; d < VALUE_DIM; d++) {
        const terms = Array.from({ length: LENGTH }, (_, l) => weights[row * LENGTH + l]! * v[l * VALUE_DIM + d]!);
        sums.push(terms.reduce((a, b) => a + b));
      }
    }
    return [scores, sums];
  }

  const apart = (held: KvSegment[]): KeyValues =>
    new LaneKeyValues(
      Array.from({ length: NUM_HEADS }, (_, head) => ({
        keys: segmentsOf(headOf(keys, head, DIM), DIM, held).map(({ columns }) => columns),
        values: segmentsOf(headOf(values, head, VALUE_DIM), VALUE_DIM, held).map(({ rows }) => rows),
      })),
    );
  const batched = (held: KvSegment[]): KeyValues =>
    new BatchedKeyValues(
      NUM_HEADS,
      segmentsOf(keys, NUM_HEADS * DIM, held),
      segmentsOf(values, NUM_HEADS * VALUE_DIM, held),
    );

  for (const [name, make] of Object.entries({ apart, batched })) {
    it(`are multiplied ${name} as in float64, and leave no tensor`, async () => {
      const before = tensorMemory().numTensors;
      const [scores, sums] = await both(make);
      const [expectedScores, expectedSums] = expected();
      expect(largestDifference(scores, expectedScores)).to.be.below(1e-5);
      expect(largestDifference(sums, expectedSums)).to.be.below(1e-5);
      expect(tensorMemory().numTensors).to.equal(before);
    });
  }

  it('a segment gives back its rows whatever was made of them first', async () => {
    const before = tensorMemory().numTensors;
    const rows = randomValues(randomFrom(5), 6 * 12);
    for (const ask of [(s: KvSegment) => s.columns, (s: KvSegment) => s.byHead(3), (s: KvSegment) => s.byHead(1)]) {
      const segment = new KvSegment(toTensor(rows, [6, 12]), 1);
      const first = ask(segment);
      expect(ask(segment)).to.equal(first); // made once
      expect(isSameBits(await rowsOf(segment.rows), rows)).to.equal(true);
      segment.release();
    }
    expect(tensorMemory().numTensors).to.equal(before);
  });
});
