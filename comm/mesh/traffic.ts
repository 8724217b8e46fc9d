/** Counts what passes between this rank and each peer. */
import type { Rank } from '../../base/ids.js';

/** Frames and bytes in both directions, by peer. */
export class Traffic {
  private readonly framesSent: number[];
  private readonly bytesSent: number[];
  private readonly framesReceived: number[];
  private readonly bytesReceived: number[];

  constructor(size: number) {
    this.framesSent = zeros(size);
    this.bytesSent = zeros(size);
    this.framesReceived = zeros(size);
    this.bytesReceived = zeros(size);
  }

  /** One frame, header included, left for a peer. */
  sent(to: Rank, bytes: number): void {
    this.framesSent[to]!++;
    this.bytesSent[to]! += bytes;
  }

  /** One frame, header included, came from a peer. */
  received(from: Rank, bytes: number): void {
    this.framesReceived[from]!++;
    this.bytesReceived[from]! += bytes;
  }

  /** A copy that later traffic doesn't change. */
  snapshot(): Record<'framesSent' | 'bytesSent' | 'framesReceived' | 'bytesReceived', readonly number[]> {
    return {
      framesSent: [...this.framesSent],
      bytesSent: [...this.bytesSent],
      framesReceived: [...this.framesReceived],
      bytesReceived: [...this.bytesReceived],
    };
  }
}

const zeros = (size: number): number[] => new Array<number>(size).fill(0);
