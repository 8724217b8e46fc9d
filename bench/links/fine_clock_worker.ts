/** Sleeps until the time that its clock says, tells it, and sleeps on until the clock says another one. */
import { parentPort, workerData } from 'node:worker_threads';
import { fineNow, type ClockWords } from './clock_words.js';

const { changes, dueMs } = workerData as ClockWords;

for (;;) {
  const seen = Atomics.load(changes, 0);
  const leftMs = dueMs[0]! - fineNow();
  if (leftMs > 0) {
    Atomics.wait(changes, 0, seen, leftMs);
    continue;
  }
  parentPort!.postMessage(null);
  Atomics.wait(changes, 0, seen);
}
