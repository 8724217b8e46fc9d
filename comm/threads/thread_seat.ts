/** The places of a mesh between threads, made by the thread that starts the others. */
import { availableParallelism } from 'node:os';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { CommError } from '../base/errors.js';
import { createInbox } from './inbox.js';
import { asRank, type Rank } from '../../base/ids.js';
import { checkLimits, DEFAULT_MAX_FRAME_BYTES, type MeshLimits } from '../mesh/mesh_base.js';

/**
 * One rank's place in the mesh, for the thread that opens it. Hand it over (`workerData`, `postMessage`) with `portsOf(seat)` as transfer list. A thread
 * that ends, however it does, is lost to the others, and so is one that never opened its seat.
 */
export interface ThreadSeat extends MeshLimits {
  readonly rank: Rank;
  readonly size: number;
  /** By peer rank; null for the own one. */
  readonly ports: readonly (MessagePort | null)[];
  /** By rank: memory that all threads share. */
  readonly inboxes: readonly SharedArrayBuffer[];
  /** Whether who waits may look for a moment before it sleeps: there is a core for every rank. */
  readonly canSpin: boolean;
}

/** The seats of `size` threads, by rank. @throws CommError INVALID_ARGUMENT when `size` or a limit is out of range. */
export function createThreadSeats(size: number, limits: MeshLimits = {}): ThreadSeat[] {
  if (!Number.isInteger(size) || size < 1) {
    throw new CommError('INVALID_ARGUMENT', `size is ${size}; pass the number of ranks, an integer from 1`);
  }
  const { maxFrameBytes = DEFAULT_MAX_FRAME_BYTES, microBatches = 1 } = limits;
  checkLimits(maxFrameBytes, microBatches);
  const ports = Array.from({ length: size }, () => new Array<MessagePort | null>(size).fill(null));
  for (let a = 0; a < size; a++) {
    for (let b = a + 1; b < size; b++) {
      const { port1, port2 } = new MessageChannel();
      [ports[a]![b], ports[b]![a]] = [port1, port2];
    }
  }
  const inboxes = Array.from({ length: size }, () => createInbox(size));
  const canSpin = size <= availableParallelism();
  return ports.map((own, rank) => ({ ...limits, rank: asRank(rank), size, ports: own, inboxes, canSpin }));
}

/** What a seat's transfer list must have. */
export function portsOf({ ports }: ThreadSeat): MessagePort[] {
  return ports.filter((port) => port !== null);
}
