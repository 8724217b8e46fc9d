/** A WebSocket mesh of several ranks in one process, on free ports of the loopback. */
import {
  asRank,
  listenForPeers,
  openWsMesh,
  type Mesh,
  type MeshLimits,
  type WsMeshOptions,
} from '../../../comm/index.js';

const JOB = { secret: 'secret', fingerprint: 'f'.repeat(64), jobId: 'job' };

/** Of who comes to a mesh later: it is linked to nobody. */
export const seatOf = (rank: number, size: number) => {
  const addresses = new Array<null>(size).fill(null);
  return { ...JOB, rank: asRank(rank), size, addresses };
};

/** `overrides(rank)` changes single options of a rank. */
export async function openWsMeshes(
  size: number,
  limits: MeshLimits = {},
  overrides: (rank: number) => Partial<WsMeshOptions> = () => ({}),
): Promise<Mesh[]> {
  const ranks = Array.from({ length: size }, (_, rank) => asRank(rank));
  const servers = await Promise.all(
    ranks.map((rank) => listenForPeers({ host: '127.0.0.1', port: 0 }, { tls: overrides(rank).tls })),
  );
  const addresses = servers.map(({ port }) => ({ host: '127.0.0.1', port }));
  const common = {
    size,
    addresses,
    ...JOB,
    timeoutMs: 5000,
    ...limits,
  };
  const opened = await Promise.allSettled(
    ranks.map((rank) => openWsMesh({ ...common, rank, server: servers[rank]!, ...overrides(rank) })),
  );
  const meshes = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = opened.find((result) => result.status === 'rejected');
  if (failed === undefined) return meshes;
  await Promise.all(meshes.map((mesh) => mesh.close()));
  throw failed.reason;
}
