/** Reads memory with as many threads as its argument says, as a program that answers orders: the bandwidth that decoding is held against. */
import { createInterface } from 'node:readline';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { openStream } from '../../compute/stream.js';

/** What each thread reads: more than caches hold. */
const THREAD_BYTES = 512 * 2 ** 20;

/** Of the shared words: the number of the read that is wanted, and of threads that have done it, or are ready for it. */
const [WANTED, DONE] = [0, 1];

const stream = openStream(THREAD_BYTES);
stream.read();
if (isMainThread) await answerOrders(Number(process.argv[2]));
else readForever(workerData as Int32Array);

async function answerOrders(numThreads: number): Promise<void> {
  const words = new Int32Array(new SharedArrayBuffer(8));
  const others = Array.from(
    { length: numThreads - 1 },
    () => new Worker(new URL(import.meta.url), { workerData: words }),
  );
  const allDone = (): void => {
    for (let done = Atomics.load(words, DONE); done < others.length; done = Atomics.load(words, DONE))
      Atomics.wait(words, DONE, done);
  };
  const tell = (answer: object): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);
  await Promise.all(others.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
  tell({ ready: { threads: numThreads } });
  const orders = createInterface(process.stdin)[Symbol.asyncIterator]();
  while ((await orders.next()).done !== true) {
    Atomics.store(words, DONE, 0);
    const startMs = performance.now();
    Atomics.add(words, WANTED, 1);
    Atomics.notify(words, WANTED);
    stream.read();
    allDone();
    tell({ ms: performance.now() - startMs, bytes: numThreads * THREAD_BYTES });
  }
  for (const worker of others) await worker.terminate();
}

function readForever(words: Int32Array): never {
  parentPort!.postMessage('ready');
  for (let read = 0; ; read++) {
    while (Atomics.load(words, WANTED) === read) Atomics.wait(words, WANTED, read);
    stream.read();
    Atomics.add(words, DONE, 1);
    Atomics.notify(words, DONE);
  }
}
