/** The worker thread behind thread_mesh.test.ts: rank 1 of a mesh that does as it is told. */
import { parentPort, workerData } from 'node:worker_threads';
import { asRank, openThreadMesh, type FrameKey, type ThreadSeat } from '../../../comm/index.js';

export interface PartnerOrder {
  readonly seat: ThreadSeat;
  /** echo: sends back the first `numFrames` frames, whose steps count from 0; exit, throw, block: how it ends or doesn't, once it is open. */
  readonly act: 'echo' | 'exit' | 'throw' | 'block';
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
  case 'exit':
    process.exit(3);
  // eslint-disable-next-line no-fallthrough -- process.exit doesn't return
  case 'throw':
    throw new Error('the partner gave up');
  case 'block':
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
