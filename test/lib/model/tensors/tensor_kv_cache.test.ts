import { expect } from 'chai';
import fc from 'fast-check';
import { rowsOf, selectBackend, tensorMemory, tidy, toTensor } from '../../../../experts/tf.js';
import { EngineError } from '../../../../lib/engine/errors.js';
import { TensorKvCache } from '../../../../lib/model/tensors/tensor_kv_cache.js';
import { errorOf } from '../../../kit/rejects.js';
import { isSameBits, randomFrom, randomValues } from '../../../refs/random.js';

const WIDTH = 3;

function append(
  cache: TensorKvCache,
  table: readonly number[],
  layer: number,
  lane: number,
  position: number,
  rows: Float32Array,
) {
  tidy(() => cache.append(table, layer, lane, position, toTensor(rows, [rows.length / WIDTH, WIDTH])));
}

async function read(cache: TensorKvCache, table: readonly number[], layer: number, lane: number, length: number) {
  // A copy, since a single block is read as itself.
  const rows = tidy(() => cache.read(table, layer, lane, length).clone());
  const values = await rowsOf(rows);
  rows.dispose();
  return values.slice();
}

describe('KV cache', () => {
  let numTensorsBefore = 0;

  before(() => selectBackend('wasm'));
  beforeEach(() => (numTensorsBefore = tensorMemory().numTensors));
  afterEach(() => expect(tensorMemory().numTensors, 'tensors left behind').to.equal(numTensorsBefore));

  it('reads back what was written last at each position, for any blocks, chunks and overwriting', async () => {
    const write = fc.record({
      sequence: fc.nat(1),
      layer: fc.nat(1),
      lane: fc.nat(1),
      back: fc.nat(6),
      length: fc.integer({ min: 1, max: 9 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(write, { maxLength: 12 }),
        async (blockSize, writes) => {
          const cache = new TensorKvCache({ numLayers: 2, numLanes: 2, blockSize });
          const random = randomFrom(1);
          const tables = [0, 1].map((sequence) => Array.from({ length: 200 }, (_, i) => 2 * i + sequence));
          const expected = new Map<string, number[]>();
          for (const { sequence, layer, lane, back, length } of writes) {
            const key = `${sequence}${layer}${lane}`;
            const held = expected.get(key) ?? [];
            const position = Math.max(held.length / WIDTH - back, 0);
            const rows = randomValues(random, length * WIDTH);
            append(cache, tables[sequence]!, layer, lane, position, rows);
            expected.set(key, [...held.slice(0, position * WIDTH), ...rows]);
          }
          for (const [key, values] of expected) {
            const [sequence, layer, lane] = Array.from(key, Number) as [number, number, number];
            const numTokens = values.length / WIDTH;
            for (const length of new Set([1, Math.ceil(numTokens / 2), numTokens])) {
              const rows = await read(cache, tables[sequence]!, layer, lane, length);
              expect(isSameBits(rows, Float32Array.from(values.slice(0, length * WIDTH))), key).to.equal(true);
            }
          }
          cache.dispose();
          expect(tensorMemory().numTensors).to.equal(numTensorsBefore);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('outlives the tensors that were appended', async () => {
    const cache = new TensorKvCache({ numLayers: 1, numLanes: 1, blockSize: 4 });
    const rows = toTensor(Float32Array.of(1, 2, 3), [1, WIDTH]);
    tidy(() => cache.append([7], 0, 0, 0, rows));
    rows.dispose();
    expect([...(await read(cache, [7], 0, 0, 1))]).to.deep.equal([1, 2, 3]);
    cache.dispose();
  });

  it('free forgets a sequence’s blocks and leaves the others', async () => {
    const cache = new TensorKvCache({ numLayers: 1, numLanes: 1, blockSize: 2 });
    const rows = randomValues(randomFrom(2), 5 * WIDTH);
    append(cache, [0, 1, 2], 0, 0, 0, rows);
    append(cache, [3], 0, 0, 0, rows.slice(0, 2 * WIDTH));
    expect(cache.numBlocks).to.equal(4);
    cache.free([0, 1, 2, 9]);
    expect(cache.numBlocks).to.equal(1);
    expect(tensorMemory().numTensors).to.equal(numTensorsBefore + 1);
    expect(isSameBits(await read(cache, [3], 0, 0, 2), rows.slice(0, 2 * WIDTH))).to.equal(true);
    append(cache, [2], 0, 0, 0, rows.slice(WIDTH, 2 * WIDTH)); // a block's next owner starts from nothing
    expect(isSameBits(await read(cache, [2], 0, 0, 1), rows.slice(WIDTH, 2 * WIDTH))).to.equal(true);
    cache.dispose();
    cache.dispose();
    expect(cache.numBlocks).to.equal(0);
  });

  it('a position beyond the table is an internal error with both numbers', async () => {
    const cache = new TensorKvCache({ numLayers: 1, numLanes: 1, blockSize: 2 });
    const rows = randomValues(randomFrom(3), 3 * WIDTH);
    const error = await errorOf(EngineError, () => append(cache, [0], 0, 0, 0, rows));
    expect(error.code).to.equal('INTERNAL');
    expect(error.message).to.contain('block 1').and.contain('1 blocks');
    cache.dispose();
  });
});
