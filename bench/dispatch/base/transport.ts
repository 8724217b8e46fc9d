/** Which transports the benchmark can measure, and how a rank opens its mesh over each. */
import { workerData } from 'node:worker_threads';
import {
  asRank,
  listenForPeers,
  listenInIoThread,
  openIoThreadMesh,
  openThreadMesh,
  openWsMesh,
  type Address,
  type Mesh,
  type ThreadSeat,
} from '../../../comm/index.js';

export const TRANSPORTS = ['ws', 'threads'] as const;
/** `ws`: WebSockets between processes; `threads`: memory between threads of one process. */
export type Transport = (typeof TRANSPORTS)[number];

/** Those whose sockets a thread of their own can serve. */
export const IO_THREAD_TRANSPORTS: readonly Transport[] = ['ws'];

/** What a rank needs to open its mesh; the same on all ranks but for `rank`. */
export interface MeshOptions {
  readonly transport: Transport;
  readonly ioThread: boolean;
  readonly rank: number;
  readonly size: number;
  readonly secret: string;
  readonly maxFrameBytes: number;
  readonly microBatches: number;
}

/** A rank that can be dialed, but has no links yet. */
export interface MeshPort {
  readonly port: number;
  /** `addresses` by rank. */
  open(addresses: readonly Address[]): Promise<Mesh>;
}

/** A rank dials until its peers listen; 8 ranks that start on two cores take their time. */
const LINK_TIMEOUT_MS = 30_000;

/** The one place where a transport is chosen. */
export async function openMesh(options: MeshOptions): Promise<MeshPort> {
  const { transport, ioThread, size, secret, maxFrameBytes, microBatches } = options;
  // A thread's seat came with it; nobody dials.
  if (transport === 'threads')
    return { port: 0, open: () => Promise.resolve(openThreadMesh(workerData as ThreadSeat)) };
  const job = { fingerprint: 'bench', jobId: 'bench', timeoutMs: LINK_TIMEOUT_MS };
  const own = { rank: asRank(options.rank), size, secret, maxFrameBytes, microBatches, ...job };
  if (ioThread) {
    const server = await listenInIoThread(ANY_PORT);
    return { port: server.port, open: (addresses) => openIoThreadMesh({ ...own, server, addresses }) };
  }
  const server = await listenForPeers(ANY_PORT);
  return { port: server.port, open: (addresses) => openWsMesh({ ...own, server, addresses }) };
}

const ANY_PORT: Address = { host: '127.0.0.1', port: 0 };
