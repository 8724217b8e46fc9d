/** Which transports the benchmark can measure, and how a rank opens its mesh over each. */
import { asRank, listenForPeers, openWsMesh, type Address, type Mesh } from '../../comm/index.js';

export const TRANSPORTS = ['ws', 'threads'] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** Those that `openMesh` knows. */
export const SUPPORTED_TRANSPORTS: readonly Transport[] = ['ws'];
/** Those of them whose sockets a thread of their own can serve. */
export const IO_THREAD_TRANSPORTS: readonly Transport[] = [];

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
  const { size, secret, maxFrameBytes, microBatches } = options;
  const server = await listenForPeers({ host: '127.0.0.1', port: 0 });
  const job = { fingerprint: 'bench', jobId: 'bench', timeoutMs: LINK_TIMEOUT_MS };
  const own = { rank: asRank(options.rank), size, server, secret, maxFrameBytes, microBatches };
  return { port: server.port, open: (addresses) => openWsMesh({ ...own, ...job, addresses }) };
}
