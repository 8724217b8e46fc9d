/** The worker thread behind io_thread_mesh.test.ts: rank 1 of a WebSocket mesh, which counts the frames of rank 0 in shared memory and sends each back. */
import { parentPort, workerData } from 'node:worker_threads';
import { once } from 'node:events';
import {
  asRank,
  listenForPeers,
  openWsMesh,
  type Address,
  type FrameKey,
  type WsMeshOptions,
} from '../../../comm/index.js';

export interface WsPartnerOrder {
  readonly job: Omit<WsMeshOptions, 'rank' | 'addresses' | 'server'>;
  readonly rank0: Address;
  readonly numFrames: number;
  /** Its first cell counts frames. */
  readonly counter: SharedArrayBuffer;
}

const { job, rank0, numFrames, counter } = workerData as WsPartnerOrder;
const server = await listenForPeers({ host: '127.0.0.1', port: 0 });
const { port } = server;
const gone = once(parentPort!, 'message');
parentPort!.postMessage(port);
const mesh = await openWsMesh({ ...job, rank: asRank(1), addresses: [rank0, { host: '127.0.0.1', port }], server });
for (let step = 0; step < numFrames; step++) {
  const key: FrameKey = { phase: 'dispatch', step, layer: 3, microBatch: 0, epoch: 0 };
  const { header, payload } = await mesh.receive(asRank(0), key, { timeoutMs: 15_000 });
  mesh.send(asRank(0), { ...header, source: asRank(1), destination: asRank(0) }, [payload]);
  Atomics.add(new Int32Array(counter), 0, 1);
  Atomics.notify(new Int32Array(counter), 0);
}
await gone; // what it sent is read before it closes
await mesh.close();
