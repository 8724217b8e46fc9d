/** The worker thread behind thread_mesh.test.ts: a rank of a mesh that does as it is told. */
import { parentPort, workerData } from 'node:worker_threads';
import { asRank, openThreadMesh, type FrameKey, type ThreadSeat } from '../../../comm/index.js';
import { sendFrame, swapFrames } from './thread_swaps.js';

export interface PartnerOrder {
  readonly seat: ThreadSeat;
  /**
   * echo: sends back the first `numFrames` frames, whose steps count from 0; swap: swaps as many with every other rank; flood: sends as many to rank 0 and
   * is gone at once; exit, throw, block: how it ends or doesn't, once it is open.
   */
  readonly act: 'echo' | 'swap' | 'flood' | 'exit' | 'throw' | 'block';
  readonly numFrames?: number;
}

const { seat, act, numFrames = 0 } = workerData as PartnerOrder;
const mesh = openThreadMesh(seat);
parentPort!.postMessage('open');
switch (act) {
  case 'echo':
    for (let step = 0; step < numFrames; step++) {
      const key: FrameKey = { phase: 'dispatch', step, layer: 0, microBatch: 0, epoch: 0 };
      const { header, payload } = await mesh.receive(asRank(0), key, { timeoutMs: 15_000 });
      mesh.send(asRank(0), { ...header, source: asRank(1), destination: asRank(0) }, [payload]);
    }
    await mesh.close();
    break;
  case 'swap':
    await swapFrames(mesh, numFrames);
    await mesh.close();
    break;
  case 'flood':
    for (let step = 0; step < numFrames; step++) sendFrame(mesh, asRank(0), step);
    mesh.flush();
    die();
    break;
  case 'exit':
    die();
    break;
  case 'throw':
    throw new Error('the partner gave up');
  case 'block':
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

/** Ends this thread at once, whatever its mesh still does. */
function die(): void {
  process.exit(3);
}
