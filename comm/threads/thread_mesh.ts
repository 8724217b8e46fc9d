/**
 * The mesh of ranks that are threads of one process: a message port per pair, frames change hands in memory.
 * Why: docs/decisions/exchange.md#threads-exchange-buffers
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { CommError } from '../base/errors.js';
import type { FrameHeader } from '../mesh/frame.js';
import { FramePort, framesOf, isFrameMessage, type FrameMessage } from './frame_port.js';
import { asRank, type Rank } from '../../base/ids.js';
import { checkLimits, DEFAULT_MAX_FRAME_BYTES, MeshBase, type MeshLimits } from '../mesh/mesh_base.js';
import type { Mesh } from '../mesh/mesh.js';

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
  private readonly ports: readonly (MessagePort | null)[];
  private readonly frames: readonly (FramePort<Farewell> | null)[];

  constructor(seat: ThreadSeat) {
    super(seat.rank, seat.size, seat);
    this.ports = seat.ports;
    this.frames = seat.ports.map((port) => port && new FramePort(port, this.memory));
    for (const [peer, port] of this.ports.entries()) {
      port?.on('message', (message: FrameMessage | Farewell) => this.hear(asRank(peer), message));
      port?.on('close', () => this.lose(asRank(peer), 'its thread ended'));
    }
  }

  protected override transmit(to: Rank, header: FrameHeader, payload: readonly Uint8Array[]): void {
    this.frames[to]!.send(header, payload);
  }

  protected override transmitOwn(to: Rank, header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    this.frames[to]!.give(header, payload);
  }

  protected override letGo(): void {
    for (const frames of this.frames) frames?.flush();
  }

  /** What was posted before is delivered before the end. */
  protected override disconnect(): Promise<void> {
    for (const peer of this.ports.keys()) this.part(peer, 'it closed its mesh');
    return Promise.resolve();
  }

  private hear(peer: Rank, message: FrameMessage | Farewell): void {
    if (!isFrameMessage(message)) {
      this.lose(peer, message);
      this.ports[peer]!.close();
      return;
    }
    try {
      for (const frame of framesOf(message, this.memory)) {
        const refused = this.accept(peer, frame);
        if (refused !== undefined) throw refused;
      }
    } catch (error) {
      if (!(error instanceof CommError)) throw error;
      this.lose(peer, error.message, error.code);
      this.part(peer, 'it refused a frame; its log says why');
    }
  }

  private part(peer: number, farewell: Farewell): void {
    this.frames[peer]?.post(farewell);
    this.ports[peer]?.close();
  }
}
