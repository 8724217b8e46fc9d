/** The mesh of ranks that are threads of one process: a message port per pair, frames change hands in memory. */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { CommError } from './errors.js';
import type { FrameHeader } from './frame.js';
import { frameOf, postFrame, postOwnFrame } from './frame_port.js';
import { asRank, type Rank } from './ids.js';
import { checkLimits, DEFAULT_MAX_FRAME_BYTES, MeshBase, type MeshLimits } from './mesh_base.js';
import type { Mesh } from './mesh.js';

/**
 * One rank's place in the mesh, for the thread that opens it. Hand it over (`workerData`, `postMessage`) with `portsOf(seat)` as transfer list. A thread
 * that ends, however it does, is lost to the others, and so is one that never opened its seat.
 */
export interface ThreadSeat extends MeshLimits {
  readonly rank: Rank;
  readonly size: number;
  /** By peer rank; null for the own one. */
  readonly ports: readonly (MessagePort | null)[];
}

/** What travels besides frames: why nothing more comes. */
type Farewell = 'it closed its mesh' | 'it refused a frame; its log says why';

/** The seats of `size` threads, by rank. Throws INVALID_ARGUMENT. */
export function createThreadSeats(size: number, limits: MeshLimits = {}): ThreadSeat[] {
  if (!Number.isInteger(size) || size < 1) {
    throw new CommError('INVALID_ARGUMENT', `size is ${size}; pass the number of ranks, an integer from 1`);
  }
  const { maxFrameBytes = DEFAULT_MAX_FRAME_BYTES, microBatches = 1 } = limits;
  checkLimits(maxFrameBytes, microBatches);
  const ports = Array.from({ length: size }, () => new Array<MessagePort | null>(size).fill(null));
  for (let a = 0; a < size; a += 1) {
    for (let b = a + 1; b < size; b += 1) {
      const { port1, port2 } = new MessageChannel();
      [ports[a]![b], ports[b]![a]] = [port1, port2];
    }
  }
  return ports.map((own, rank) => ({ ...limits, rank: asRank(rank), size, ports: own }));
}

/** What a seat's transfer list must have. */
export function portsOf({ ports }: ThreadSeat): MessagePort[] {
  return ports.filter((port) => port !== null);
}

/** This thread's rank. The others needn't be open yet: what is sent waits for them. An open mesh keeps its thread alive. */
export function openThreadMesh(seat: ThreadSeat): Mesh {
  return new ThreadMesh(seat);
}

class ThreadMesh extends MeshBase {
  readonly #ports: readonly (MessagePort | null)[];

  constructor(seat: ThreadSeat) {
    super(seat.rank, seat.size, seat);
    this.#ports = seat.ports;
    for (const [peer, port] of this.#ports.entries()) {
      port?.on('message', (message: ArrayBuffer | Farewell) => this.#receive(asRank(peer), port, message));
      port?.on('close', () => this.lose(asRank(peer), 'its thread ended'));
    }
  }

  protected override transmit(to: Rank, header: FrameHeader, payload: readonly Uint8Array[]): void {
    postFrame(this.#ports[to]!, header, payload, this.memory);
  }

  protected override transmitOwn(to: Rank, header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    postOwnFrame(this.#ports[to]!, header, payload);
  }

  /** What was posted before is delivered before the end. */
  protected override disconnect(): Promise<void> {
    for (const port of this.#ports) if (port !== null) part(port, 'it closed its mesh');
    return Promise.resolve();
  }

  #receive(peer: Rank, port: MessagePort, message: ArrayBuffer | Farewell): void {
    if (typeof message === 'string') {
      this.lose(peer, message);
      port.close();
    } else if (this.accept(peer, frameOf(message, this.memory)) !== undefined)
      part(port, 'it refused a frame; its log says why');
  }
}

function part(port: MessagePort, farewell: Farewell): void {
  port.postMessage(farewell);
  port.close();
}
