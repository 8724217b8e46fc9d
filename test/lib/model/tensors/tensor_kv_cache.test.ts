import { expect } from 'chai';
import fc from 'fast-check';
import {
  clone,
  joinColumns,
  numKernelRuns,
  rowsOf,
  selectBackend,
  stackRows,
  tensorMemory,
  tidy,
  toTensor,
  transpose,
} from '../../../../compute/tfjs/tf.js';
import { InternalError } from '../../../../base/coded_error.js';
import { TensorKvCache } from '../../../../lib/model/tensors/tensor_kv_cache.js';
import { errorOf } from '../../../kit/rejects.js';
import { isSameBits, randomFrom, randomValues } from '../../../refs/random.js';

const WIDTH = 3;
const ONE_LANE = { numHeads: 1, width: WIDTH, hasOnes: [false] };

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
  // Copies, since what is kept is read as itself.
  const [rows, turned] = tidy(() => {
    const segments = cache.segments(table, layer, lane, length);
    const columns = segments.map((segment) => segment.columns);
    return [clone(stackRows(segments.map((segment) => segment.rows))), transpose(joinColumns(columns))];
  });
  const values = (await rowsOf(rows)).slice();
  expect(isSameBits(await rowsOf(turned), values), 'columns').to.equal(true);
  rows.dispose();
  turned.dispose();
  return values;
}

/** The same for lanes of any width, without asking for columns. */
async function laneOf(cache: TensorKvCache, table: readonly number[], layer: number, lane: number, length: number) {
  const rows = tidy(() => clone(stackRows(cache.segments(table, layer, lane, length).map((segment) => segment.rows))));
  const values = (await rowsOf(rows)).slice();
  rows.dispose();
  return values;
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
          const cache = new TensorKvCache({ numLayers: 2, lanes: { ...ONE_LANE, hasOnes: [false, false] }, blockSize });
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

  it('reads back long sequences too, whatever of them was merged and then overwritten', async () => {
    const step = fc.record({ back: fc.nat(400), length: fc.integer({ min: 1, max: 300 }), isRead: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(16, 100, 256, 300),
        fc.array(step, { maxLength: 8 }),
        async (blockSize, steps) => {
          const cache = new TensorKvCache({ numLayers: 1, lanes: ONE_LANE, blockSize });
          const random = randomFrom(4);
          const table = Array.from({ length: 200 }, (_, i) => i);
          let expected: number[] = [];
          for (const { back, length, isRead } of steps) {
            const position = Math.max(expected.length / WIDTH - back, 0);
            const rows = randomValues(random, length * WIDTH);
            append(cache, table, 0, 0, position, rows);
            expected = [...expected.slice(0, position * WIDTH), ...rows];
            if (!isRead) continue;
            const numTokens = expected.length / WIDTH;
            for (const end of new Set([numTokens, Math.ceil(numTokens / 2)])) {
              const values = await read(cache, table, 0, 0, end);
              expect(isSameBits(values, Float32Array.from(expected.slice(0, end * WIDTH)))).to.equal(true);
            }
          }
          cache.free(table);
          expect(tensorMemory().numTensors).to.equal(numTensorsBefore);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('takes as many operations for a long past as for a short one, but for one per segment of 256 tokens', () => {
    const cache = new TensorKvCache({ numLayers: 1, lanes: ONE_LANE, blockSize: 16 });
    const table = Array.from({ length: 100 }, (_, i) => i);
    const random = randomFrom(5);
    const opsOfStep = (position: number): number => {
      const before = numKernelRuns();
      append(cache, table, 0, 0, position, randomValues(random, WIDTH));
      tidy(() => {
        for (const { columns } of cache.segments(table, 0, 0, position + 1)) expect(columns.shape[0]).to.equal(WIDTH);
      });
      return numKernelRuns() - before;
    };
    append(cache, table, 0, 0, 0, randomValues(random, 8 * WIDTH));
    const short = opsOfStep(8);
    append(cache, table, 0, 0, 9, randomValues(random, 1023 * WIDTH));
    opsOfStep(1032); // merges
    expect(opsOfStep(1033)).to.equal(short);
    cache.dispose();
  });

  it('a segment lives as long as one of its blocks, and what another sequence shares stays', async () => {
    const cache = new TensorKvCache({ numLayers: 1, lanes: ONE_LANE, blockSize: 128 });
    const rows = randomValues(randomFrom(6), 256 * WIDTH);
    append(cache, [0, 1], 0, 0, 0, rows);
    await read(cache, [0, 1], 0, 0, 256);
    append(cache, [0, 2], 0, 0, 128, rows.slice(0, 128 * WIDTH)); // shares its first block
    cache.free([1]);
    const shared = Float32Array.of(...rows.slice(0, 128 * WIDTH), ...rows.slice(0, 128 * WIDTH));
    expect(isSameBits(await read(cache, [0, 2], 0, 0, 256), shared)).to.equal(true);
    cache.free([0, 2]);
  });

  it('of a segment of which most blocks are gone, the others alone are kept', async () => {
    const cache = new TensorKvCache({ numLayers: 1, lanes: ONE_LANE, blockSize: 64 });
    const rows = randomValues(randomFrom(7), 256 * WIDTH);
    const before = tensorMemory().numBytes;
    append(cache, [0, 1, 2, 3], 0, 0, 0, rows);
    await read(cache, [0, 1, 2, 3], 0, 0, 256); // merges, and turns
    const bytesOf = (numBlocks: number) => numBlocks * 64 * WIDTH * 4;
    expect(tensorMemory().numBytes - before).to.equal(2 * bytesOf(4));
    cache.free([3]);
    expect(tensorMemory().numBytes - before, 'for a while').to.equal(2 * bytesOf(4));
    cache.free([1]);
    expect(tensorMemory().numBytes - before).to.equal(bytesOf(2));
    cache.free([2]);
    expect(tensorMemory().numBytes - before).to.equal(bytesOf(1));
    expect(isSameBits(await read(cache, [0], 0, 0, 64), rows.slice(0, 64 * WIDTH))).to.equal(true);
    cache.dispose();
  });

  it('heads side by side in a lane are the same bytes as heads in lanes of their own, both ways', async () => {
    const [numTokens, blockSize, numHeads] = [300, 64, 2];
    const random = randomFrom(7);
    const table = [4, 1, 0, 2, 3];
    const apart = new TensorKvCache({
      ...{ numLayers: 2, blockSize },
      lanes: { numHeads: 1, width: WIDTH, hasOnes: [false, true, false, true] },
    });
    const beside = new TensorKvCache({
      ...{ numLayers: 2, blockSize },
      lanes: { numHeads, width: WIDTH, hasOnes: [false, true] },
    });
    for (const layer of [0, 1]) {
      for (const [lane, hasOne] of [false, true].entries()) {
        const width = WIDTH + Number(hasOne);
        const heads = Array.from({ length: numHeads }, () => {
          const rows = randomValues(random, numTokens * width);
          return hasOne ? rows.map((value, i) => (i % width === WIDTH ? 1 : value)) : rows;
        });
        const both = tidy(() => {
          const tensors = heads.map((rows) => toTensor(rows, [numTokens, width]));
          tensors.forEach((rows, head) => apart.append(table, layer, 2 * head + lane, 0, rows));
          const both = joinColumns(tensors);
          beside.append(table, layer, lane, 0, both);
          return both;
        });
        expect(await laneOf(beside, table, layer, lane, numTokens)).to.deep.equal(await rowsOf(both));
        both.dispose();
      }
    }
    const blocks = await Promise.all(table.map((id) => apart.read(id)));
    const copies = table.map((id) => id + 10);
    for (const [i, id] of table.entries()) {
      expect(await beside.read(id), `block ${i}`).to.deep.equal(blocks[i]);
      beside.write(copies[i]!, blocks[i]!);
    }
    // Segments in the layouts that products of all heads ask for are read as what they were made of.
    for (const layer of [0, 1]) {
      tidy(() => beside.segments(copies, layer, 0, numTokens)[0]!.byHead(numHeads).shape);
      tidy(() => beside.segments(copies, layer, 1, numTokens)[0]!.columns.shape);
    }
    for (const [i, id] of copies.entries()) expect(await beside.read(id), `block ${i}`).to.deep.equal(blocks[i]);
    for (const layer of [0, 1]) {
      for (const lane of [0, 1]) {
        const original = await laneOf(beside, table, layer, lane, numTokens);
        expect(await laneOf(beside, copies, layer, lane, numTokens)).to.deep.equal(original);
      }
    }
    apart.dispose();
    beside.dispose();
  });

  it('a block that a step wrote in part has zeros for what is missing', async () => {
    const cache = new TensorKvCache({ numLayers: 2, lanes: { ...ONE_LANE, hasOnes: [false, false] }, blockSize: 2 });
    append(cache, [5], 0, 0, 0, Float32Array.of(1, 2, 3, 4, 5, 6));
    append(cache, [5], 1, 0, 0, Float32Array.of(7, 8, 9));
    const bytes = await cache.read(5);
    const lanes = [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    expect([...new Float32Array(bytes.buffer)]).to.deep.equal(lanes);
    cache.dispose();
  });

  it('a block that was read is the caller’s, where a backend gives what it holds', async () => {
    await selectBackend('cpu');
    const cache = new TensorKvCache({ numLayers: 1, lanes: { ...ONE_LANE, hasOnes: [true] }, blockSize: 1 });
    const values = Float32Array.of(1, 2, 3);
    cache.write(0, new Uint8Array(values.buffer));
    const bytes = await cache.read(0);
    expect([...new Float32Array(bytes.buffer)]).to.deep.equal([1, 2, 3]);
    bytes.fill(9);
    expect([...new Float32Array((await cache.read(0)).buffer)]).to.deep.equal([1, 2, 3]);
    cache.dispose();
    await selectBackend('wasm');
  });

  it('sequences that share blocks of a segment do not take it from each other, and who is left makes one of its own', async () => {
    const cache = new TensorKvCache({ numLayers: 1, lanes: ONE_LANE, blockSize: 128 });
    const rows = randomValues(randomFrom(7), 384 * WIDTH);
    append(cache, [0, 1], 0, 0, 0, rows.slice(0, 256 * WIDTH));
    append(cache, [0, 2], 0, 0, 128, rows.slice(256 * WIDTH));
    const opsOf = (table: readonly number[]): number => {
      const before = numKernelRuns();
      tidy(() => cache.segments(table, 0, 0, 256).forEach((segment) => segment.rows));
      return numKernelRuns() - before;
    };
    expect(opsOf([0, 1])).to.be.above(0); // makes the segment
    const shared = Float32Array.of(...rows.slice(0, 128 * WIDTH), ...rows.slice(256 * WIDTH));
    for (let i = 0; i < 2; i++) {
      expect(isSameBits(await read(cache, [0, 2], 0, 0, 256), shared)).to.equal(true);
      expect(opsOf([0, 1])).to.equal(0);
    }
    cache.free([1]);
    expect(opsOf([0, 2])).to.be.above(0);
    expect(opsOf([0, 2])).to.equal(0);
    expect(isSameBits(await read(cache, [0, 2], 0, 0, 256), shared)).to.equal(true);
    cache.free([0, 2]);
  });

  it('outlives the tensors that were appended', async () => {
    const cache = new TensorKvCache({ numLayers: 1, lanes: ONE_LANE, blockSize: 4 });
    const rows = toTensor(Float32Array.of(1, 2, 3), [1, WIDTH]);
    tidy(() => cache.append([7], 0, 0, 0, rows));
    rows.dispose();
    expect([...(await read(cache, [7], 0, 0, 1))]).to.deep.equal([1, 2, 3]);
    cache.dispose();
  });

  it('free forgets a sequence’s blocks and leaves the others', async () => {
    const cache = new TensorKvCache({ numLayers: 1, lanes: ONE_LANE, blockSize: 2 });
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
    const cache = new TensorKvCache({ numLayers: 1, lanes: ONE_LANE, blockSize: 2 });
    const rows = randomValues(randomFrom(3), 3 * WIDTH);
    const error = await errorOf(InternalError, () => append(cache, [0], 0, 0, 0, rows));
    expect(error.code).to.equal('INTERNAL');
    expect(error.message).to.contain('block 1').and.contain('1 blocks');
    cache.dispose();
  });
});
