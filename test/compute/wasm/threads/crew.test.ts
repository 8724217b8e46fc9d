import { expect } from 'chai';
import fc from 'fast-check';
import { execFile } from 'node:child_process';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ExpertError } from '../../../../compute/base/errors.js';
import { KernelMatrix } from '../../../../compute/wasm/memory/kernel_matrix.js';
import type { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { CHOICE_DTYPES } from '../../../../compute/wasm/memory/resident_dtype.js';
import { Crew } from '../../../../compute/wasm/threads/crew.js';
import { memoryOf, startCrew, workersOf } from '../../../kit/kernels/crews.js';
import { f32Matrix, placeRows } from '../../../kit/kernels/kernel_rows.js';
import { errorOf } from '../../../kit/rejects.js';
import { randomFrom, randomValues } from '../../../refs/random.js';

interface Product {
  readonly numRows: number;
  readonly rows: number;
  readonly columns: number;
  readonly dtype: (typeof CHOICE_DTYPES)[number];
  readonly seed: number;
}

/** A product that lies ready in a memory. */
function place(memory: KernelMemory, { numRows, rows, columns, dtype, seed }: Product) {
  const random = randomFrom(seed);
  const weight = KernelMatrix.from(memory, f32Matrix(rows, columns, randomValues(random, rows * columns)), dtype);
  const x = placeRows(memory, randomValues(random, numRows * columns), columns);
  const y = memory.allocate(4 * numRows * rows);
  const args = [x, numRows, weight.address, y, rows] as const;
  return {
    args,
    run: (): void => memory.kernels.linear(...args),
    bits: (): Buffer => Buffer.from(memory.floats(y, numRows * rows).slice().buffer),
    free: (): void => {
      for (const address of [x, y]) memory.free(address);
      weight.dispose();
    },
  };
}

function bitsIn(memory: KernelMemory, product: Product): Buffer {
  const placed = place(memory, product);
  placed.run();
  const bits = placed.bits();
  placed.free();
  return bits;
}

/** Long enough for a call that frees the event loop, and for a second or more of one thread. */
const LONG: Product = { numRows: 400, rows: 2000, columns: 2048, dtype: 'f32', seed: 1 };
/** Several chunks. */
const SHORT: Product = { numRows: 1, rows: 1000, columns: 512, dtype: 'f32', seed: 2 };

describe('threads that compute', function () {
  this.timeout(120_000);
  const alone = memoryOf(null);
  const crews: Crew[] = [];

  const started = async (numThreads: number, lookMs?: number): Promise<Crew> => {
    const crew = await startCrew(numThreads, lookMs);
    crews.push(crew);
    return crew;
  };
  afterEach(async () => {
    await Promise.all(crews.splice(0).map((crew) => crew.close()));
  });

  it('give the bits that one gives, whatever their number, the shape and the dtype', async () => {
    const memories = await Promise.all([2, 3, 4].map(async (n) => memoryOf(await started(n))));
    const shape = fc.record({
      numRows: fc.constantFrom(1, 2, 3, 7, 65),
      rows: fc.integer({ min: 1, max: 400 }),
      columns: fc.constantFrom(5, 64, 200, 1000, 5000),
      dtype: fc.constantFrom(...CHOICE_DTYPES),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(shape, (product) => {
        const expected = bitsIn(alone, product);
        for (const memory of memories) expect(bitsIn(memory, product).equals(expected)).to.equal(true);
      }),
      { numRuns: 30, examples: [[{ numRows: 300, rows: 70, columns: 2000, dtype: 'bf16', seed: 1 }]] },
    );
  });

  it('take part in what is called, in every memory, also in one that is made later', async () => {
    const crew = await started(2);
    const expected = bitsIn(alone, SHORT);
    for (let i = 1; i <= 3; i++) {
      const memory = memoryOf(crew);
      const placed = place(memory, SHORT);
      const before = crew.stats().numChunks;
      while (crew.stats().numChunks === before) {
        placed.run();
        await turn();
      }
      expect(placed.bits().equals(expected), `memory ${i}`).to.equal(true);
    }
  });

  it('a long call leaves the event loop free, has the same bits, and others may be made meanwhile', async () => {
    const crew = await started(2);
    const [memory, other] = [memoryOf(crew), memoryOf(crew)];
    const long = place(memory, LONG);
    const shorts = [other, memory].map((each) => place(each, SHORT));
    let numTurns = 0;
    let isDone = false;
    const count = (): void => {
      numTurns++;
      if (!isDone) setImmediate(count);
    };
    const before = crew.stats();
    const call = memory.call('linear', 1e9, ...long.args);
    expect(call).to.be.an.instanceof(Promise);
    count();
    memory.allocate(2 ** 26); // the memory grows
    for (const short of shorts) short.run();
    await call;
    isDone = true;
    expect(numTurns).to.be.above(10);
    expect(crew.stats().numCalls).to.equal(before.numCalls + 1);
    expect(long.bits().equals(bitsIn(alone, LONG))).to.equal(true);
    for (const short of shorts) expect(short.bits().equals(bitsIn(alone, SHORT))).to.equal(true);
    const { numChunks } = crew.stats();
    while (crew.stats().numChunks === numChunks) shorts[0]!.run(); // they help this thread again
  });

  it('a call of little work is made at once', async () => {
    const memory = memoryOf(await started(2));
    const placed = place(memory, SHORT);
    expect(memory.call('linear', 1e5, ...placed.args)).to.equal(undefined);
    expect(placed.bits().equals(bitsIn(alone, SHORT))).to.equal(true);
  });

  it('sleep when there is nothing to do: nobody wakes them, and they take no time of the processor', async () => {
    const crew = await started(3, 0.1);
    const memory = memoryOf(crew);
    const placed = place(memory, SHORT);
    for (let i = 0; i < 50; i++) placed.run();
    await delay(100);
    const { numWakes } = crew.stats();
    const before = process.cpuUsage();
    await delay(1000);
    const { user, system } = process.cpuUsage(before);
    expect(crew.stats().numWakes).to.equal(numWakes);
    expect((user + system) / 1e6, 'seconds of the processor in one').to.be.below(0.3);
  });

  it('10,000 regions and 200 long calls take no further memory, and keep nothing', async () => {
    const crew = await started(2);
    const memory = memoryOf(crew);
    const placed = place(memory, { ...SHORT, rows: 200 });
    const small = place(memory, { ...SHORT, numRows: 4 });
    const rounds = async (count: number): Promise<number[]> => {
      for (let i = 0; i < 50 * count; i++) placed.run();
      for (let i = 0; i < count; i++) await memory.call('linear', 1e9, ...small.args);
      await turn();
      return [memory.usedBytes, memory.reservedBytes, process.getActiveResourcesInfo().length];
    };
    const before = await rounds(2);
    expect(await rounds(200)).to.deep.equal(before);
  });

  it('one that ends while a long call runs refuses the call, and all later ones, and says which it was', async () => {
    const { made: crew, workers } = await workersOf(() => started(2));
    const memory = memoryOf(crew);
    const placed = place(memory, LONG);
    const call = errorOf(ExpertError, () => memory.call('linear', 1e9, ...placed.args));
    await workers[1]!.terminate();
    const error = await call;
    expect(error.code).to.equal('THREAD_FAILED');
    expect(error.message).to.contain('thread 2 of 2').and.contain('parallel.threads: 1');
    expect(await crew.failed).to.equal(error);
    expect(await errorOf(ExpertError, () => memory.call('linear', 1e9, ...placed.args))).to.equal(error);
  });

  it('a helper that ends does not stop what is called at once: the caller does its part, and is told', async () => {
    const { made: crew, workers } = await workersOf(() => started(2));
    const memory = memoryOf(crew);
    await workers[0]!.terminate();
    const error = await crew.failed;
    expect(error.message).to.contain('thread 1 of 2').and.contain('ended with code');
    expect(bitsIn(memory, SHORT).equals(bitsIn(alone, SHORT))).to.equal(true);
  });

  it('a kernel that traps ends the call with its reason, and nobody helps any more', async () => {
    const crew = await started(2);
    const memory = memoryOf(crew);
    const far = 2 ** 32 - 4096;
    const error = await errorOf(ExpertError, () => memory.call('applyNorm', 1e9, far, 1, 64, 64, far, far, 64));
    expect(error.message).to.contain('THREAD_FAILED').and.contain('out of bounds');
    const placed = place(memory, SHORT);
    const { numChunks } = crew.stats();
    for (let i = 0; i < 200; i++) {
      placed.run();
      await turn();
    }
    expect(crew.stats().numChunks).to.equal(numChunks);
    expect(placed.bits().equals(bitsIn(alone, SHORT))).to.equal(true);
  });

  it('one that can not be started is an error that says which and why', async () => {
    const error = await errorOf(ExpertError, () => Crew.start({ numThreads: 2, module: { get: () => 1 } }));
    expect(error.code).to.equal('THREAD_FAILED');
    expect(error.message).to.contain("thread 1 of 2 that computes for this rank can't be started");
  });

  it('a call that is under way when they are ended is refused; ending twice is ending once', async () => {
    const crew = await startCrew(2);
    const memory = memoryOf(crew);
    const placed = place(memory, LONG);
    const call = errorOf(ExpertError, () => memory.call('linear', 1e9, ...placed.args));
    await crew.close();
    expect((await call).message).to.contain('were ended');
    await crew.close();
  });

  it('keep no process alive that forgets them, asleep or not', async () => {
    const url = (path: string): string => JSON.stringify(new URL(`../../../../${path}`, import.meta.url).href);
    const script = `
      const { memoryOf, startCrew } = await import(${url('test/kit/kernels/crews.js')});
      memoryOf(await startCrew(3, 1000));
      console.log('done');`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
      timeout: 30_000,
    });
    expect(stdout).to.equal('done\n');
  });
});
