/** Meshes of several ranks whose sockets are in threads of their own, on free ports of the loopback. */
import { asRank, listenInIoThread, openIoThreadMesh, type Mesh, type MeshLimits } from '../../../comm/index.js';

export async function openIoThreadMeshes(size: number, limits: MeshLimits = {}): Promise<Mesh[]> {
  const ranks = Array.from({ length: size }, (_, rank) => asRank(rank));
  const servers = await Promise.all(ranks.map(() => listenInIoThread({ host: '127.0.0.1', port: 0 })));
  const addresses = servers.map(({ port }) => ({ host: '127.0.0.1', port }));
  const job = { size, addresses, secret: 'secret', fingerprint: 'f'.repeat(64), jobId: 'job', timeoutMs: 15_000 };
  return Promise.all(ranks.map((rank) => openIoThreadMesh({ ...job, ...limits, rank, server: servers[rank]! })));
}
