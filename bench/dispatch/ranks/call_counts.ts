/** What one call costs besides time, counted around it: on this rank. Why: docs/decisions/measuring.md#what-a-call-costs-is-counted-around-it */
import { getHeapStatistics } from 'node:v8';
import type { Mesh, MeshStats } from '../../../comm/index.js';
import type { CallCounts } from '../base/orders.js';

/** Bytes of JavaScript's heap in use: exact, but for what a collection takes away, or others of the process take meanwhile. */
const heapBytes = (): number => getHeapStatistics().used_heap_size;

/** What the question itself takes. */
const ASKING_BYTES = Math.min(...Array.from({ length: 9 }, () => -heapBytes() + heapBytes()));

/** Runs `work` and gives what the mesh and the heap counted meanwhile. */
export async function counted<T>(mesh: Mesh, work: () => Promise<T>): Promise<{ result: T; counts: CallCounts }> {
  const before = mesh.stats();
  const heapBefore = heapBytes();
  const result = await work();
  const heap = heapBytes() - heapBefore - ASKING_BYTES;
  return { result, counts: { ...between(before, mesh.stats()), heapBytes: heap } };
}

function between(before: MeshStats, after: MeshStats): Omit<CallCounts, 'heapBytes'> {
  const grown = (name: 'wakeUps' | 'writes' | 'allocations' | 'copies'): number | null => {
    const [from, to] = [before[name], after[name]];
    return from === undefined || to === undefined ? null : to - from;
  };
  const frames = (stats: MeshStats): number => stats.framesSent.reduce((sum, count) => sum + count, 0);
  return {
    wakeUps: grown('wakeUps')!,
    writes: grown('writes'),
    frames: frames(after) - frames(before),
    allocations: grown('allocations')!,
    copies: grown('copies'),
  };
}
